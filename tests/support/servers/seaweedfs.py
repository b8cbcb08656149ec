"""SeaweedFS as an S3 store: signatures, conditions, checksums and locks, all of them checked by it."""

from __future__ import annotations

import json
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.loop_device import required
from tests.support.servers.process import Missing, ServerProcess, answers, free_ports

ADMIN = ("backup-access", "backup-secret")
READ_ONLY = ("reader-access", "reader-secret")

_IDENTITIES = {
    "identities": [
        {
            "name": "admin",
            "credentials": [{"accessKey": ADMIN[0], "secretKey": ADMIN[1]}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        },
        {
            "name": "reader",
            "credentials": [{"accessKey": READ_ONLY[0], "secretKey": READ_ONLY[1]}],
            "actions": ["Read", "List"],
        },
    ]
}
_SERVICES = ("master", "volume", "filer", "admin", "s3")
_PORTS = [f"{service}.{port}" for service in _SERVICES for port in ("port", "port.grpc")]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeaweedFs:
    """A running store. ``server`` can be stopped, killed, paused, and started again on the same data."""

    server: ServerProcess
    url: str


@pytest.fixture(scope="session")
def seaweedfs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFs]:
    """Return a store that runs as long as the tests do. Isolation is a bucket for each test."""
    with required(request.config), running(tmp_path_factory.mktemp("seaweedfs")) as store:
        yield store


@pytest.fixture
def own_seaweedfs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFs]:
    """Return a store for one test that kills or pauses it."""
    with required(request.config), running(tmp_path_factory.mktemp("seaweedfs")) as store:
        yield store


@contextmanager
def running(directory: Path) -> Iterator[SeaweedFs]:
    """Return a store of its own, with its data in ``directory``. Missing."""
    weed = Path(sysconfig.get_path("scripts")) / "weed"
    if not weed.exists():
        raise Missing(f"{weed} is missing here: make servers")
    (directory / "s3.json").write_text(json.dumps(_IDENTITIES))
    ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
    url = f"http://127.0.0.1:{ports['s3.port']}"
    server = ServerProcess(
        "seaweedfs",
        [str(weed), *_command(directory, ports)],
        directory=directory,
        is_ready=lambda: answers(f"{url}/healthz"),
        stop_timeout_s=1.0,  # Killing loses nothing: the data is not for keeps.
    )
    try:
        server.start()
        yield SeaweedFs(server=server, url=url)
    finally:
        server.kill()
        for port in ports.values():
            for socket in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # Its name is not ours to choose.
                socket.unlink()


def _command(directory: Path, ports: dict[str, int]) -> list[str]:
    options = {
        "dir": directory,
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "master.telemetry": "false",
        "master.volumeSizeLimitMB": 128,
        "volume.max": 10_000,  # Each bucket has its own; the default is what fits on the disk when all are full.
        "admin.ui": "false",
        "webdav": "false",
        "s3.config": directory / "s3.json",
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "s3.autoCreateBucket": "false",
        "s3.localSocket": directory / "s3.sock",
        "filer.localSocket": directory / "filer.sock",
        **ports,
    }
    return ["-logtostderr=true", "mini", *(f"-{name}={value}" for name, value in options.items())]
