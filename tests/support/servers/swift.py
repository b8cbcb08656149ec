"""A real Swift of one node on this machine, below a temporary directory: a proxy and three servers behind it.

There is no memcached and no replication. Isolation is a container for each test: ``swift.container()``. Who
stops, fills or configures something puts it right again.
"""

from __future__ import annotations

import base64
import getpass
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.support.loop_device import required
from tests.support.servers import swift_launcher, swift_rings
from tests.support.servers.keystone import Keystone
from tests.support.servers.process import Missing, ServerProcess, answers, free_port
from tests.support.servers.swift_conf import Knobs, Node, proxy_conf, server_conf, swift_conf

KINDS = ("account", "container", "object", "proxy")
BIN = Path(sys.prefix) / "bin"
PYTHON = (sys.executable, "-P")  # This file must not hide the package swift from what stands beside it.


class Swift:
    """``auth_url``, ``user`` and ``key`` are those of its v1 login, unless it asks a Keystone."""

    user = "test:backup"
    key = "backup-key"

    def __init__(self, directory: Path, *, keystone: Keystone | None = None) -> None:
        self.directory = directory
        self.knobs = Knobs()
        self._names = itertools.count(1)
        self._node = Node(
            directory=str(directory),
            ports={kind: free_port() for kind in KINDS},
            user=getpass.getuser(),
            fernet_key=base64.urlsafe_b64encode(os.urandom(32)).decode(),
            keystone_url=None if keystone is None else keystone.url,
        )
        self.port = self._node.ports["proxy"]
        self.url = f"http://127.0.0.1:{self.port}"
        self.auth_url = f"{self.url}/auth/v1.0"
        self.servers = {kind: self._server(kind) for kind in KINDS}

    def create(self) -> None:
        """Make the node and start it."""
        (self.directory / "devices" / "disk").mkdir(parents=True)
        ports = [str(self._node.ports[kind]) for kind in KINDS[:3]]
        subprocess.run([*PYTHON, swift_rings.__file__, str(self.directory), *ports], check=True)
        self._configure(self.knobs)
        self.start(*KINDS)

    def start(self, *kinds: str) -> None:
        """Start servers that were killed or stopped."""
        for kind in kinds:
            self.servers[kind].launch()
        for kind in kinds:
            self.servers[kind].await_ready()

    def remove(self) -> None:
        """Stop everything and remove the data."""
        for server in self.servers.values():
            server.kill()
        shutil.rmtree(self.directory)

    @contextmanager
    def configured(self, **knobs: int | str | bool) -> Iterator[None]:
        """Run it with other knobs for a while; what it holds stays. It starts anew before and after."""
        self._restart(replace(self.knobs, **knobs))  # type: ignore[arg-type] # checked by the dataclass's users
        try:
            yield
        finally:
            self._restart(self.knobs)

    def container(self) -> str:
        """Return the name of a container that nobody has used."""
        return f"c{next(self._names)}"

    def _restart(self, knobs: Knobs) -> None:
        self._configure(knobs)
        for kind in ("object", "proxy"):
            self.servers[kind].kill()
        self.start("object", "proxy")

    def _configure(self, knobs: Knobs) -> None:
        (self.directory / "swift.conf").write_text(swift_conf(knobs))
        for kind in KINDS[:3]:
            (self.directory / f"{kind}-server.conf").write_text(server_conf(kind, self._node, knobs))
        (self.directory / "proxy-server.conf").write_text(proxy_conf(self._node, knobs))

    def _server(self, kind: str) -> ServerProcess:
        program, conf = BIN / f"swift-{kind}-server", self.directory / f"{kind}-server.conf"
        return ServerProcess(
            f"swift-{kind}",
            [*PYTHON, swift_launcher.__file__, str(self.directory), str(program), str(conf), "-v"],
            directory=self.directory,
            is_ready=partial(answers, f"http://127.0.0.1:{self._node.ports[kind]}/healthcheck"),
        )


@pytest.fixture(scope="session")
def swift(request: pytest.FixtureRequest) -> Iterator[Swift]:
    """Return a Swift with v1 logins that runs as long as the tests do."""
    with required(request.config), running() as started:
        yield started


@pytest.fixture(scope="session")
def swift_keystone(request: pytest.FixtureRequest, keystone: Keystone) -> Iterator[Swift]:
    """Return a Swift that asks ``keystone``, which has it in its catalog."""
    with required(request.config), running(keystone) as started:
        keystone.add_endpoint(f"{started.url}/v1/AUTH_%(project_id)s")
        yield started


@contextmanager
def running(keystone: Keystone | None = None) -> Iterator[Swift]:
    """Return a Swift of its own. Missing."""
    if not (BIN / "swift-proxy-server").exists():
        raise Missing("Swift is missing here: make servers")
    directory = Path(tempfile.mkdtemp(prefix="swift-"))
    try:  # Swift keeps what it knows of an object there.
        os.setxattr(directory, "user.swift.tests", b"x" * 1000)
    except OSError as error:
        directory.rmdir()
        raise Missing(
            f"Swift needs a file system with extended attributes, {directory.parent} has none: {error}"
        ) from error
    started = Swift(directory, keystone=keystone)
    try:
        started.create()
        yield started
    finally:
        started.remove()
