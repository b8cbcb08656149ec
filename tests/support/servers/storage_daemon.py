"""A real qemu-storage-daemon with one or more disks, and a guest that writes to them through NBD."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from chunker.extents import Extent
from chunker.sources.nbd import Place, wire
from chunker.sources.nbd.connection import Connection
from chunker.sources.qemu.qmp import Qmp, QmpLost
from tests.support.loop_device import required
from tests.support.servers.process import Missing, ServerProcess

CMD_WRITE, CMD_FLUSH, CMD_TRIM, CMD_WRITE_ZEROES = 1, 3, 4, 6
DISK = "disk0"


class StorageDaemon:
    """Its disks are named by their node; each is an image below ``directory``."""

    def __init__(self, directory: Path, *, disks: Sequence[str] = (DISK,), image_format: str = "qcow2") -> None:
        if shutil.which("qemu-storage-daemon") is None or shutil.which("qemu-img") is None:
            raise Missing("qemu-storage-daemon or qemu-img is missing: install qemu-utils and qemu-system-common")
        self.directory = directory
        self.monitor = directory / "monitor.sock"
        self.live = directory / "live.sock"
        self.fleecing = directory / "fleecing"
        self.fleecing.mkdir(exist_ok=True)
        self._disks = disks
        self._format = image_format
        self._process = ServerProcess(
            "storage-daemon", self._command(), directory=directory, is_ready=self._is_ready, start_timeout_s=20
        )

    def image(self, disk: str = DISK) -> Path:
        return self.directory / f"{disk}.{self._format}"

    def create(self, size_bytes: int) -> None:
        """Make the images."""
        for disk in self._disks:
            command = ["qemu-img", "create", "-q", "-f", self._format, str(self.image(disk)), str(size_bytes)]
            subprocess.run(command, check=True)

    def start(self) -> None:
        """Start it, or start it again after it was killed."""
        for path in (self.monitor, self.live):
            path.unlink(missing_ok=True)
        self._process.start()
        with self.qmp() as qmp:
            address = {"type": "unix", "data": {"path": str(self.live)}}
            qmp.run("nbd-server-start", addr=address, max_connections=64)
            for disk in self._disks:
                self._export(qmp, disk)

    def _export(self, qmp: Qmp, disk: str) -> None:
        export = {"type": "nbd", "id": f"live-{disk}", "node_name": disk, "name": disk, "writable": True}
        qmp.run("block-export-add", **export)

    def resize(self, size_bytes: int, disk: str = DISK) -> None:
        """Give a disk another size, while no guest is connected: QEMU refuses it for one that is exported."""
        with self.qmp() as qmp:
            qmp.run("block-export-del", id=f"live-{disk}", mode="hard")
            qmp.wait("BLOCK_EXPORT_DELETED", lambda data: data["id"] == f"live-{disk}")
            qmp.run("block_resize", node_name=disk, size=size_bytes)
            self._export(qmp, disk)

    def stop(self) -> None:
        """End it in good order, as when a guest is shut down."""
        self._process.stop()

    def kill(self) -> None:
        """End it as a power failure does."""
        self._process.kill()

    def qmp(self) -> Qmp:
        """Begin a conversation; while it lasts nobody else can have one."""
        return Qmp(str(self.monitor), timeout_s=20)

    def node(self, disk: str = DISK) -> Mapping[str, Any]:
        """Return what QEMU shows of a disk."""
        with self.qmp() as qmp:
            nodes = {node["node-name"]: node for node in qmp.run("query-named-block-nodes", flat=True)}
        found: Mapping[str, Any] = nodes[disk]
        return found

    def bitmaps(self, disk: str = DISK) -> list[str]:
        """Return the names of the bitmaps of a disk, oldest first."""
        return sorted(bitmap["name"] for bitmap in self.node(disk).get("dirty-bitmaps", []))

    def traces(self) -> list[str]:
        """Return what a backup has left in QEMU and in its directory, the bitmaps of the chain not counted."""
        with self.qmp() as qmp:
            exports = [export["id"] for export in qmp.run("query-block-exports")]
            jobs = [job["id"] for job in qmp.run("query-jobs")]
            nodes = [node["node-name"] for node in qmp.run("query-named-block-nodes", flat=True)]
        found = [name for name in (*exports, *jobs, *nodes) if name.startswith("bd")]
        return [*found, *(path.name for path in self.fleecing.iterdir() if path.name.startswith("fleece"))]

    def guest(self, disk: str = DISK) -> Guest:
        return Guest(Place(export=disk, socket_path=str(self.live)))

    def content(self, disk: str = DISK) -> bytes:
        """Return what the disk holds, after it has been stopped."""
        raw = self.directory / "content.raw"
        command = ["qemu-img", "convert", "-f", self._format, "-O", "raw", str(self.image(disk)), str(raw)]
        subprocess.run(command, check=True)
        return raw.read_bytes()

    def _command(self) -> list[str]:
        command = ["qemu-storage-daemon"]
        for disk in self._disks:
            node = f"driver={self._format},node-name={disk},discard=unmap"
            command += ["--blockdev", f"{node},file.driver=file,file.filename={self.image(disk)}"]
        chardev = f"socket,id=monitor,path={self.monitor},server=on,wait=off"
        return [*command, "--chardev", chardev, "--monitor", "chardev=monitor"]

    def _is_ready(self) -> bool:
        try:
            with self.qmp():
                return True
        except QmpLost:
            return False


class Guest:
    """Writes to a disk as a guest does; a write has happened when the call returns."""

    def __init__(self, place: Place) -> None:
        self._connection = Connection(place, [], tls=None, timeout_s=30)
        self.size_bytes = self._connection.export.size_bytes

    def write(self, offset_bytes: int, content: bytes) -> None:
        self._run(CMD_WRITE, Extent(offset_bytes, len(content)), content)

    def discard(self, extent: Extent) -> None:
        self._run(CMD_TRIM, extent)

    def write_zeroes(self, extent: Extent) -> None:
        self._run(CMD_WRITE_ZEROES, extent)

    def flush(self) -> None:
        self._run(CMD_FLUSH, Extent(0, 0))

    def close(self) -> None:
        self._connection.close()

    def _run(self, command: int, extent: Extent, content: bytes = b"") -> None:
        request = (wire.REQUEST_MAGIC, 0, command, 1, extent.offset_bytes, extent.length_bytes)
        self._connection._stream.send(wire.REQUEST.pack(*request) + content)
        self._connection._header()  # Raises what the server refuses.


MakeStorageDaemon = Callable[..., StorageDaemon]


@pytest.fixture
def make_storage_daemon(request: pytest.FixtureRequest) -> Iterator[MakeStorageDaemon]:
    """Return what starts a storage daemon with empty disks of ``size_bytes``; all end with the test."""
    with ExitStack() as running:

        def make(size_bytes: int, **options: Any) -> StorageDaemon:
            # The path of a socket has at most 107 characters, which those of pytest may exceed.
            directory = Path(tempfile.mkdtemp(prefix="qsd-"))
            running.callback(shutil.rmtree, directory)
            with required(request.config):
                daemon = StorageDaemon(directory, **options)
            daemon.create(size_bytes)
            running.callback(daemon.kill)
            daemon.start()
            return daemon

        yield make


def connects(path: Path) -> bool:
    """Tell whether somebody listens on a socket."""
    with closing(socket.socket(socket.AF_UNIX)) as asking:
        return asking.connect_ex(str(path)) == 0
