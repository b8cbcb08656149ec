"""A server of each kind on this machine, with what the driver, the daemon and the lean client need to reach it.

The servers are those of the tests, without anything in between: what would be measured otherwise is the proxy.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import lean_clients
from bench.lean_clients import LeanClient
from tests.support.buckets import make_bucket
from tests.support.servers import ceph, seaweedfs, swift
from tests.support.servers.gcs import new_fake_gcs_server
from tests.support.servers.process import ServerProcess
from tests.support.swift_targets import secret_file

Value = str | int | bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """``server`` says what it is, ``servers`` are what runs for it; ``lean`` opens the lean client."""

    name: str
    server: str
    url: str
    options: Mapping[str, Value]
    lean: Callable[[], AbstractAsyncContextManager[LeanClient]]
    servers: tuple[ServerProcess, ...] = ()
    has_conditional_put: bool = True

    def cpu_s(self) -> float:
        """Return the processor time that its servers have taken so far."""
        return sum(server.cpu_s() for server in self.servers)

    def section(self) -> str:
        """Return its part of a daemon's configuration."""
        target: dict[str, Value] = {"url": self.url, "single_writer": not self.has_conditional_put}
        lines = [f"[targets.{self.name}]", *_lines(target), f"[targets.{self.name}.options]", *_lines(self.options)]
        return "\n".join(lines) + "\n"


def _lines(values: Mapping[str, Value]) -> list[str]:
    return [f"{name} = {json.dumps(value)}" for name, value in values.items()]  # Of such values TOML is JSON.


@contextmanager
def _s3(directory: Path) -> Iterator[Store]:
    with seaweedfs.running(directory) as running:
        bucket = make_bucket(running.url, seaweedfs.ADMIN, directory)
        options: dict[str, Value] = {
            "endpoint": running.url,
            "region": "us-east-1",
            "credentials_file": str(bucket.credentials_file),
        }
        yield Store(
            name="s3",
            server="SeaweedFS",
            url=f"s3://{bucket.name}",
            options=options,
            servers=(running.server,),
            lean=lambda: lean_clients.s3(f"{running.url}/{bucket.name}", seaweedfs.ADMIN),
        )


@contextmanager
def _swift(directory: Path) -> Iterator[Store]:
    with swift.running() as running:
        container = running.container()
        options: dict[str, Value] = {
            "auth": "v1",
            "auth_url": running.auth_url,
            "user": running.user,
            "key_file": secret_file(directory, running.key),
        }
        yield Store(
            name="swift",
            server="Swift, v1 login",
            url=f"swift://{container}",
            options=options,
            servers=tuple(running.servers.values()),
            lean=lambda: lean_clients.swift(running.auth_url, running.user, running.key, container),
            has_conditional_put=False,
        )


@contextmanager
def _rados(_directory: Path) -> Iterator[Store]:
    with ceph.running() as running:
        namespace = running.namespace()
        yield Store(
            name="rados",
            server="Ceph, one OSD",
            url=f"rados://{ceph.POOL}/{namespace}",
            options={"conf": str(running.conf)},
            servers=(running.mon, running.osd),
            lean=lambda: lean_clients.rados(running.conf, ceph.POOL, namespace),
        )


@contextmanager
def _gcs(directory: Path) -> Iterator[Store]:
    server = new_fake_gcs_server(directory)
    server.start()
    try:
        bucket = server.new_bucket()
        yield Store(
            name="gcs",
            server="fake-gcs-server in memory",
            url=f"gs://{bucket}",
            options={"endpoint": server.endpoint, "anonymous": True},
            servers=(server,),
            lean=lambda: lean_clients.gcs(server.endpoint, bucket),
        )
    finally:
        server.kill()


@contextmanager
def _file(directory: Path) -> Iterator[Store]:
    root = directory / "objects"
    root.mkdir()
    yield Store(name="file", server="none", url=f"file://{root}", options={}, lean=lambda: lean_clients.file(root))


KINDS: Mapping[str, Callable[[Path], AbstractContextManager[Store]]] = {
    "s3": _s3,
    "swift": _swift,
    "rados": _rados,
    "gcs": _gcs,
    "file": _file,
}
"""Name -> what runs a store with its files in a directory. Missing. ``file`` has no server: local against local."""
