"""A real virtual machine under emulation: a Linux kernel, a few programs, and a disk that it writes to."""

from __future__ import annotations

import itertools
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.loop_device import required
from tests.support.servers.process import Missing, ServerProcess

KERNEL = Path(sys.prefix) / "kernel"
BUSYBOX = Path("/bin/busybox")
DEVICE, NODE = "vd0", "disk0"
SECOND_DEVICE = "vd1"
_BOOT_TIMEOUT_S = 50
_APPLETS = ("sh", "mount", "insmod", "dd", "sync", "sleep", "sha256sum", "tr", "poweroff", "cut", "stty")
# One command a line on the serial console, with a number; its answer is a line with OK and that number.
_INIT = """#!/bin/sh
mount -t proc p /proc; mount -t sysfs s /sys; mount -t devtmpfs d /dev
for _ in 1 2 3 4 5; do for module in /m/*.ko; do insmod $module 2>/dev/null; done; done
while [ ! -b /dev/vda ]; do sleep 0.1; done
stty -echo </dev/ttyS0
while read -r number what at count byte; do
  case "$what" in
    PING) echo "OK $number.";;
    WRITE) tr '\\000' "\\\\$byte" </dev/zero | dd of=/dev/vda bs=65536 seek=$at count=$count iflag=fullblock \
        conv=notrunc,fsync 2>/dev/null && echo "OK $number." || echo "OK $number.failed";;
    SUM) echo "OK $number.$(dd if=/dev/vda bs=65536 iflag=direct 2>/dev/null | sha256sum | cut -d' ' -f1)";;
    BUSY) (i=0; while [ $i -lt $count ]; do
        dd if=/dev/urandom of=/dev/vda bs=65536 seek=$((i * 7919 % at)) count=1 conv=notrunc,fsync 2>/dev/null
        i=$((i + 1)); done) & echo "OK $number.";;
    LOOP) [ -f /r ] || dd if=/dev/urandom of=/r bs=1048576 count=4 2>/dev/null
      end=$(($(cut -d. -f1 /proc/uptime) + count)); i=0
      while [ $(cut -d. -f1 /proc/uptime) -lt $end ]; do
        dd if=/r of=/dev/vda bs=1048576 seek=$((i * 13 % at)) count=4 oflag=direct conv=notrunc 2>/dev/null
        i=$((i + 1))
      done; echo "OK $number.$i";;
    PAIR) (i=0; while [ $i -lt $count ]; do i=$((i + 1)); for disk in /dev/vda /dev/vdb; do
        printf '%-512s' $i | dd of=$disk bs=512 count=1 iflag=fullblock oflag=direct conv=notrunc 2>/dev/null
        done; done) & echo "OK $number.";;
    WAIT) wait; echo "OK $number.";;
    OFF) sync; echo "OK $number."; poweroff -f;;
  esac
done
"""


class VirtualMachine:
    """Its disk is the node ``NODE`` of the device ``DEVICE``; a second one is that of ``SECOND_DEVICE``."""

    def __init__(self, directory: Path, size_bytes: int, *, disks: int = 1) -> None:
        for what in (Path(shutil.which("qemu-system-x86_64") or "qemu-system-x86_64"), KERNEL / "vmlinuz", BUSYBOX):
            if not what.exists():
                raise Missing(f"{what} is missing: make servers")
        self.directory = directory
        self.monitor = directory / "monitor.sock"
        self.fleecing = directory / "fleecing"
        self.fleecing.mkdir()
        self._images = [directory / f"disk{number}.qcow2" for number in range(disks)]
        self.image = self._images[0]
        self._console = directory / "console.sock"
        self._line: socket.socket | None = None
        self._received = b""
        self._numbers = itertools.count(1)
        for image in self._images:
            subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(image), str(size_bytes)], check=True)
        _make_initramfs(directory)
        self._process = ServerProcess(
            "virtual-machine",
            self._command(),
            directory=directory,
            is_ready=self._answers,
            start_timeout_s=_BOOT_TIMEOUT_S,
        )

    def start(self) -> None:
        """Boot, and return when the guest answers."""
        self._process.start()

    def ask(self, command: str) -> str:
        """Run a command in the guest and return its answer."""
        assert self._line is not None
        number = next(self._numbers)
        self._line.sendall(f"{number} {command}\n".encode())
        while True:
            _, is_it, answer = self._next_line().partition(f"OK {number}.")
            if is_it:
                return answer

    def stop(self) -> None:
        """Shut the guest down in good order; its disk is at rest then."""
        self.ask("OFF")
        self._process.stop()

    def kill(self) -> None:
        self._process.kill()
        if self._line is not None:
            self._line.close()

    def _next_line(self) -> str:
        assert self._line is not None
        while b"\n" not in self._received:
            received = self._line.recv(65536)
            assert received, "the console was closed"
            self._received += received
        line, _, self._received = self._received.partition(b"\n")
        return line.decode(errors="replace").strip()

    def _answers(self) -> bool:
        try:
            if self._line is None:
                line = socket.socket(socket.AF_UNIX)
                try:
                    line.connect(str(self._console))
                except OSError:
                    line.close()
                    return False
                line.settimeout(0.5)
                self._line = line
            self.ask("PING")
        except TimeoutError:
            return False
        self._line.settimeout(_BOOT_TIMEOUT_S)
        return True

    def _command(self) -> list[str]:
        disks = []
        for number, image in enumerate(self._images):
            node = f"driver=qcow2,node-name=disk{number},discard=unmap,file.driver=file,file.filename={image}"
            disks += ["-blockdev", node, "-device", f"virtio-blk-pci,id=vd{number},drive=disk{number}"]
        return [
            *("qemu-system-x86_64", "-accel", "tcg", "-m", "192", "-nodefaults", "-no-user-config"),
            *("-display", "none", "-no-reboot", "-kernel", str(KERNEL / "vmlinuz")),
            *("-initrd", str(self.directory / "initramfs"), "-append", "console=ttyS0 quiet panic=-1"),
            *("-serial", f"unix:{self._console},server=on,wait=off"),
            *("-qmp", f"unix:{self.monitor},server=on,wait=off"),
            *disks,
        ]


def _make_initramfs(directory: Path) -> None:
    root = directory / "root"
    for name in ("bin", "dev", "proc", "sys", "m"):
        (root / name).mkdir(parents=True)
    shutil.copy(BUSYBOX, root / "bin" / "busybox")
    for name in _APPLETS:
        (root / "bin" / name).symlink_to("busybox")
    for module in (KERNEL / "modules").iterdir():
        shutil.copy(module, root / "m")
    (root / "init").write_text(_INIT)
    (root / "init").chmod(0o755)
    names = b"\0".join(str(path.relative_to(root)).encode() for path in root.rglob("*"))
    with (directory / "initramfs").open("wb") as packed:
        command = ["cpio", "--null", "-o", "-H", "newc", "--quiet"]
        subprocess.run(command, cwd=root, input=names, stdout=packed, check=True)


MakeVirtualMachine = Callable[..., VirtualMachine]


@pytest.fixture
def make_virtual_machine(request: pytest.FixtureRequest) -> Iterator[MakeVirtualMachine]:
    """Return what boots a machine with empty disks of ``size_bytes``; all end with the test."""
    with ExitStack() as running:

        def make(size_bytes: int, *, disks: int = 1) -> VirtualMachine:
            directory = Path(tempfile.mkdtemp(prefix="vm-"))
            running.callback(shutil.rmtree, directory)
            with required(request.config):
                machine = VirtualMachine(directory, size_bytes, disks=disks)
            running.callback(machine.kill)
            machine.start()
            return machine

        yield make
