"""A Ceph cluster of one monitor and one OSD on this machine, in a directory of its own.

There is no manager: objects need none. So pools tell no statistics and enforce no quota; full flags work.
Isolation is a namespace for each test: ``ceph.namespace()``. Who stops or fills something puts it right again.
"""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from backupd.clock import SystemClock
from tests.support.loop_device import required
from tests.support.servers.process import Missing, ServerProcess, free_port

PROGRAMS = ("ceph", "rados", "ceph-mon", "ceph-osd", "ceph-authtool", "monmaptool")
POOL = "backup"
OSD_BYTES = 10 * 1024**3  # Of a sparse file.
_COMMAND_TIMEOUT_S = 30

_CONF = """\
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{port}/0]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
keyring = {directory}/keyring
admin socket =
ms bind msgr1 = false
ms bind ipv6 = false
# radosgw would insist on encryption to the monitor.
ms mon client mode = crc secure
run dir = {directory}
crash dir = {directory}
log file =
log to stderr = false
err to stderr = true
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon allow pool delete = true
mon max pg per osd = 2000
auth allow insecure global id reclaim = false

[mon]
mon data = {directory}/mon
# Changes of the map at once, not collected for a second.
paxos propose interval = 0.05
paxos min wait = 0.01
mon osd min down reporters = 1
# The disk of this machine may be nearly full for reasons of its own.
mon data avail warn = 1
mon data avail crit = 1

[osd]
osd data = {directory}/osd
osd journal =
osd objectstore = bluestore
osd uuid = {osd_uuid}
osd heartbeat interval = 1
osd mon report interval = 1
bluestore block create = true
bluestore block size = {osd_bytes}
bluestore block wal create = false
bluestore block db create = false
bluestore cache autotune = false
bluestore cache size = 134217728
osd memory target = 939524096
osd op num shards = 2
osd op num threads per shard = 1
osd class update on start = false
osd scrub begin hour = 0
osd scrub end hour = 0
"""


class Ceph:
    """The cluster and who may use it. ``conf`` names the keyring of client.admin."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.conf = directory / "ceph.conf"
        self._names = itertools.count(1)
        self._osd_uuid = str(uuid.uuid4())
        self.mon = ServerProcess(
            "mon",
            ["ceph-mon", "-c", str(self.conf), "-i", "a", "-f"],
            directory=directory,
            is_ready=lambda: self._answers("mon", "stat"),
        )
        self.osd = ServerProcess(
            "osd",
            ["ceph-osd", "-c", str(self.conf), "-i", "0", "-f"],
            directory=directory,
            is_ready=lambda: self.status("osd", "stat")["num_up_osds"] == 1,
        )

    def create(self) -> None:
        """Make the cluster and start it."""
        fsid, port = str(uuid.uuid4()), free_port()
        self.conf.write_text(
            _CONF.format(fsid=fsid, port=port, directory=self.directory, osd_uuid=self._osd_uuid, osd_bytes=OSD_BYTES)
        )
        for name in ("mon", "osd"):
            (self.directory / name).mkdir()
        keyring, monmap = str(self.directory / "keyring"), str(self.directory / "monmap")
        for number, (name, caps) in enumerate(
            (("mon.", "mon"), ("client.admin", "mon osd mgr"), ("osd.0", "osd"), ("client.rgw", "mon osd"))
        ):
            create = ["--create-keyring"] if number == 0 else []
            allowed = [word for service in caps.split() for word in ("--cap", service, "allow *")]
            if name == "osd.0":
                allowed += ["--cap", "mon", "allow profile osd"]
            self._run("ceph-authtool", *create, keyring, "--gen-key", "-n", name, *allowed)
        self._run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", f"[v2:127.0.0.1:{port}/0]", monmap)
        seed = ["--mkfs", "--monmap", monmap, "--keyring", keyring]
        self._run("ceph-mon", "-c", str(self.conf), "-i", "a", *seed)
        self._run("ceph-osd", "-c", str(self.conf), "-i", "0", *seed, "--no-mon-config")
        self.mon.start()
        self.command("osd", "new", self._osd_uuid, "0")
        self.osd.start()
        self.create_pool(POOL)

    def stop(self) -> None:
        """Stop everything and remove the data."""
        self.osd.kill()  # Nobody needs its data again.
        self.mon.kill()
        shutil.rmtree(self.directory)

    def restart_osd(self) -> None:
        """Start an OSD that was killed; the cluster need not wait until it is sure of its death."""
        self.command("osd", "down", "0", "--definitely-dead")
        self.osd.start()

    def command(self, *words: str) -> str:
        """Do what ``ceph`` does, and return what it prints."""
        return self._run("ceph", "-c", str(self.conf), "--connect-timeout", "10", *words)

    def status(self, *words: str) -> Any:
        """Return what a command tells."""
        return json.loads(self.command(*words, "--format", "json"))

    def namespace(self) -> str:
        """Return the name of a namespace that nobody has used."""
        return f"n{next(self._names)}"

    def rados(self, namespace: str, *words: str) -> str:
        """Do what ``rados`` does in a namespace: what is really stored, past any driver."""
        return self._run("rados", "-c", str(self.conf), "-p", POOL, "-N", namespace, *words)

    def names(self, namespace: str) -> list[str]:
        """Return the names of all RADOS objects of a namespace."""
        return sorted(self.rados(namespace, "ls").split())

    def create_pool(self, name: str) -> None:
        self.command("osd", "pool", "create", name, "8", "8", "replicated")

    def remove_pool(self, name: str) -> None:
        self.command("osd", "pool", "rm", name, name, "--yes-i-really-really-mean-it")

    def add_user(self, name: str, **caps: str) -> Path:
        """Make client.``name``, who may do what ``caps`` say, and return its keyring."""
        keyring = self.directory / f"{name}.keyring"
        granted = [word for service, cap in caps.items() for word in (service, cap)]
        keyring.write_text(self.command("auth", "get-or-create", f"client.{name}", *granted))
        return keyring

    def fill(self) -> None:
        """Let the cluster take itself for full."""
        self._set_ratios("0.00001", "0.00002", "0.00003")
        self.wait_until(lambda: "OSD_FULL" in self.status("health")["checks"])

    def unfill(self) -> None:
        """Let it take writes again."""
        self._set_ratios("0.95", "0.90", "0.85")
        self.wait_until(lambda: "OSD_FULL" not in self.status("health")["checks"])

    def wait_until(self, is_true: Callable[[], bool], timeout_s: float = 30.0) -> None:
        """Ask until it is true."""
        clock = SystemClock()
        deadline_s = clock.monotonic() + timeout_s
        while not is_true():
            assert clock.monotonic() < deadline_s, f"still not true after {timeout_s} s"

    def _set_ratios(self, *ratios: str) -> None:
        rising = ("nearfull", "backfillfull", "full")
        names = rising if float(ratios[0]) < float(ratios[-1]) else tuple(reversed(rising))
        for name, ratio in zip(names, ratios, strict=True):
            self.command("osd", f"set-{name}-ratio", ratio)

    def _answers(self, *words: str) -> bool:
        try:
            self.command(*words)
        except (AssertionError, subprocess.TimeoutExpired):
            return False
        return True

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=_COMMAND_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr[-2000:]}"
        return done.stdout


@pytest.fixture(scope="session")
def ceph(request: pytest.FixtureRequest) -> Iterator[Ceph]:
    """Return a cluster that runs as long as the tests do."""
    with required(request.config), running() as cluster:
        yield cluster


@contextmanager
def running() -> Iterator[Ceph]:
    """Return a cluster of its own. Missing."""
    for program in PROGRAMS:
        if shutil.which(program) is None:
            raise Missing(f"{program} is missing here: make servers")
    cluster = Ceph(Path(tempfile.mkdtemp(prefix="ceph-")))
    try:
        cluster.create()
        yield cluster
    finally:
        cluster.stop()
