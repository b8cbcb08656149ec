"""Real stores as a daemon is configured for them, each behind a fault proxy where its protocol allows that."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.buckets import make_bucket
from tests.support.fault_proxy import FaultProxy
from tests.support.servers.ceph import POOL, Ceph
from tests.support.servers.gcs import fake_gcs_server
from tests.support.servers.process import ServerProcess
from tests.support.servers.seaweedfs import ADMIN, SeaweedFs
from tests.support.servers.swift import Swift
from tests.support.swift_targets import secret_file

KINDS = ("s3", "swift", "rados", "gcs")
HTTP_KINDS = ("s3", "swift", "gcs")
_Value = str | int | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """``section`` is its part of the configuration, as the target of its ``name``.

    ``kill``, ``start``, ``pause`` and ``resume`` are done to its server; what was stored outlives a kill.
    ``proxy`` is None where a protocol tells clients the addresses of its servers.
    """

    name: str
    section: str
    kill: Callable[[], None]
    start: Callable[[], None]
    pause: Callable[[], None]
    resume: Callable[[], None]
    proxy: FaultProxy | None = None


def opened(kind: str, request: pytest.FixtureRequest, directory: Path) -> AbstractContextManager[Store]:
    """Return a store with a place of its own for one test, which leaves its server running."""
    return _KINDS[kind](request, directory)


@contextmanager
def _s3(request: pytest.FixtureRequest, directory: Path) -> Iterator[Store]:
    seaweedfs: SeaweedFs = request.getfixturevalue("seaweedfs")
    bucket = make_bucket(seaweedfs.url, ADMIN, directory)
    with _proxied(seaweedfs.url) as proxy:
        options: dict[str, _Value] = {
            "endpoint": _url(proxy),
            "region": "us-east-1",
            "credentials_file": str(bucket.credentials_file),
        }
        yield _of_one_server("s3", f"s3://{bucket.name}/backups", options, seaweedfs.server, proxy)


@contextmanager
def _gcs(request: pytest.FixtureRequest, directory: Path) -> Iterator[Store]:
    server = fake_gcs_server(request.config, directory, backend="filesystem")
    server.start()
    try:
        bucket = server.new_bucket()
        with _proxied(server.endpoint) as proxy:
            options: dict[str, _Value] = {"endpoint": _url(proxy), "anonymous": True}
            yield _of_one_server("gcs", f"gs://{bucket}/backups", options, server, proxy)
    finally:
        server.kill()


@contextmanager
def _swift(request: pytest.FixtureRequest, directory: Path) -> Iterator[Store]:
    swift: Swift = request.getfixturevalue("swift")
    with _proxied(swift.url) as proxy:
        options: dict[str, _Value] = {
            "auth": "v1",
            "auth_url": swift.auth_url,
            "user": Swift.user,
            "key_file": secret_file(directory, Swift.key),
            "storage_url": f"{_url(proxy)}/v1/AUTH_test",
        }
        url = f"swift://{swift.container()}/backups"
        yield _of_one_server("swift", url, options, swift.servers["proxy"], proxy, single_writer=True)


@contextmanager
def _rados(request: pytest.FixtureRequest, _directory: Path) -> Iterator[Store]:
    ceph: Ceph = request.getfixturevalue("ceph")
    options: dict[str, _Value] = {"conf": str(ceph.conf), "operation_timeout_s": 3}
    yield Store(
        name="rados",
        section=target_section("rados", f"rados://{POOL}/{ceph.namespace()}", options),
        kill=ceph.osd.kill,
        start=ceph.restart_osd,
        pause=ceph.osd.pause,
        resume=ceph.osd.resume,
    )


_KINDS: Mapping[str, Callable[[pytest.FixtureRequest, Path], AbstractContextManager[Store]]] = {
    "s3": _s3,
    "swift": _swift,
    "rados": _rados,
    "gcs": _gcs,
}


def _of_one_server(
    name: str,
    url: str,
    options: Mapping[str, _Value],
    server: ServerProcess,
    proxy: FaultProxy,
    *,
    single_writer: bool = False,
) -> Store:
    return Store(
        name=name,
        section=target_section(name, url, options, single_writer=single_writer),
        kill=server.kill,
        start=server.start,
        pause=server.pause,
        resume=server.resume,
        proxy=proxy,
    )


def target_section(
    name: str, url: str, options: Mapping[str, _Value], *, single_writer: bool = False, operations_max: int = 8
) -> str:
    """Return the part of a configuration that is this target: short time-outs, and retries that outlast a restart."""
    target: dict[str, _Value] = {
        "url": url,
        "single_writer": single_writer,
        "operation_timeout_s": 4,
        "retries_max": 14,
        "operations_max": operations_max,
    }
    lines = [f"[targets.{name}]", *_lines(target), f"[targets.{name}.options]", *_lines(options)]
    return "\n".join(lines) + "\n"


def _lines(values: Mapping[str, _Value]) -> list[str]:
    return [f"{name} = {json.dumps(value)}" for name, value in values.items()]  # Of such values TOML is JSON.


@contextmanager
def _proxied(url: str) -> Iterator[FaultProxy]:
    parts = urlsplit(url)
    with FaultProxy(parts.hostname or "", parts.port or 0, speaks_http=True) as proxy:
        yield proxy


def _url(proxy: FaultProxy) -> str:
    return f"http://127.0.0.1:{proxy.port}"
