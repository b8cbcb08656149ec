"""radosgw over the cluster of ``ceph.py``: S3 and Swift v1 on one port."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.loop_device import not_run
from tests.support.servers.ceph import Ceph
from tests.support.servers.process import ServerProcess, answers, free_port

_COMMAND_TIMEOUT_S = 30
_CONF = """
[client.rgw]
rgw data = {directory}/rgw
rgw frontends = beast endpoint=127.0.0.1:{port}
rgw enable usage log = false
rgw thread pool size = 32
rgw s3 auth use keystone = false
rgw swift account in url = true
rgw swift versioning enabled = true
rgw rados pool pg num min = 4
rgw relaxed s3 bucket names = false
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rgw:
    """A running gateway and its first user, who may do everything there. ``server`` can be stopped, killed, paused."""

    conf: Path
    server: ServerProcess
    url: str
    access_key: str
    secret_key: str
    swift_auth_url: str
    swift_user: str
    swift_key: str

    def administer(self, *words: str) -> None:
        """Do what ``radosgw-admin`` does, such as giving a user other keys."""
        _administer(self.conf, *words)


@pytest.fixture(scope="session")
def rgw(request: pytest.FixtureRequest, ceph: Ceph) -> Iterator[Rgw]:
    """Return a gateway that runs as long as the tests do. Isolation is a bucket for each test."""
    for program in ("radosgw", "radosgw-admin"):
        if shutil.which(program) is None:
            not_run(request.config, f"{program} is missing here: make servers")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    (ceph.directory / "rgw").mkdir()
    with ceph.conf.open("a") as conf:
        conf.write(_CONF.format(directory=ceph.directory, port=port))
    server = ServerProcess(
        "rgw",
        ["radosgw", "-c", str(ceph.conf), "-n", "client.rgw", "-f"],
        directory=ceph.directory,
        is_ready=lambda: answers(url),
    )
    try:
        server.start()
        _add_user(ceph.conf)
        yield Rgw(
            conf=ceph.conf,
            server=server,
            url=url,
            access_key="backup-access",
            secret_key="backup-secret",
            swift_auth_url=f"{url}/auth/v1.0",
            swift_user="backup:swift",
            swift_key="backup-swift",
        )
    finally:
        server.kill()


def _add_user(conf: Path) -> None:
    user = ("--uid", "backup")
    keys = ("--access-key", "backup-access", "--secret", "backup-secret")
    subuser = ("--subuser", "backup:swift")
    _administer(conf, "user", "create", *user, "--display-name", "backup", *keys)
    _administer(conf, "subuser", "create", *user, *subuser, "--access", "full")
    _administer(conf, "key", "create", *subuser, "--key-type", "swift", "--secret", "backup-swift")


def _administer(conf: Path, *words: str) -> None:
    done = subprocess.run(
        ["radosgw-admin", "-c", str(conf), "-n", "client.rgw", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=_COMMAND_TIMEOUT_S,
    )
    assert done.returncode == 0, f"radosgw-admin {words[0]} {words[1]}: {done.stderr[-2000:]}"
