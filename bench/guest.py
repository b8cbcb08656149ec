"""What a guest notices of a backup of its disk: its own writes beside that, and beside ``qemu-img convert``.

``python -m bench.guest [MIB]`` boots the virtual machine of the tests, whose guest writes 4 MiB at a time as fast as
it can, and counts how often it can: alone, beside a full backup of the disk, and beside a copy of the same disk by
``qemu-img convert`` from an export of the running disk, both at the same limit of bytes a second.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.daemon import Daemon
from chunker.sources.qemu.qmp import Qmp
from tests.support.servers.process import free_port
from tests.support.servers.virtual_machine import DEVICE, NODE, VirtualMachine

MIB = 1024 * 1024
BYTES_PER_S = 16 * MIB
LOOP_S = 6
ROUNDS = 4
_SOURCES = """
[sources.qemu]
sockets = ["{root}"]
fleecing_dir = "{root}/fleecing"
"""


def main() -> None:
    """Measure and print."""
    size_mib = int(sys.argv[1]) if len(sys.argv) > 1 else LOOP_S * BYTES_PER_S // MIB * 4
    root = Path(tempfile.mkdtemp(prefix="bench-guest-"))
    machine = VirtualMachine(root, size_mib * MIB)
    try:
        fill(machine.image, size_mib)
        machine.start()
        with Daemon(root, threads=os.cpu_count() or 1, port=free_port(), more=_SOURCES.format(root=root)) as daemon:
            add_volume(daemon, machine)
            report(measure(machine, daemon, size_mib))
    finally:
        machine.kill()
        shutil.rmtree(root)


def fill(image: Path, size_mib: int) -> None:
    """Fill the disk with bytes that no compression makes fewer: what is read is what is sent."""
    raw = image.with_suffix(".raw")
    with raw.open("wb") as file:
        for _ in range(size_mib):
            file.write(os.urandom(MIB))
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(image)], check=True)
    raw.unlink()


def add_volume(daemon: Daemon, machine: VirtualMachine) -> None:
    """Register the disk; each backup of it stores everything, within the limit."""
    limited = {"bytes_per_s": BYTES_PER_S, "is_deduplicated": False}
    daemon.post("/v1/backup-types", {"name": "limited", "target": "local", **limited})
    source = f"qemu+qmp://{machine.monitor}?device={DEVICE}"
    daemon.post("/v1/volumes", {"name": "disk", "source": source, "backup_type": "limited"})


def measure(machine: VirtualMachine, daemon: Daemon, size_mib: int) -> dict[str, list[float]]:
    """Return the guest's MiB a second in each round; what runs beside it takes turns, so that all have one noise.

    The guest writes to the first half, always the same, of which a backup stores little; the other one takes its time.
    """

    def written() -> float:
        return int(machine.ask(f"LOOP {size_mib // 2} {LOOP_S}")) * 4 / LOOP_S

    found: dict[str, list[float]] = {"alone": [], "backup": [], "convert": []}
    written()
    for number in range(ROUNDS):
        found["alone"].append(written())
        for name in ("backup", "convert") if number % 2 else ("convert", "backup"):
            found[name].append(beside_backup(daemon, written) if name == "backup" else beside_copy(machine, written))
    return found


def beside_backup(daemon: Daemon, written: Callable[[], float]) -> float:
    """Return what is written while the disk is backed up."""
    job = daemon.post("/v1/backups", {"volume": "disk", "mode": "full"})["job"]
    while not daemon.get(f"/v1/jobs/{job['id']}")["progress"]["done_bytes"]:
        time.sleep(0.05)
    rate = written()
    if (state := daemon.get(f"/v1/jobs/{job['id']}")["state"]) != "running":
        raise RuntimeError(f"the backup was {state} before the guest had been measured")
    daemon.post(f"/v1/jobs/{job['id']}/cancel", {})
    while daemon.get(f"/v1/jobs/{job['id']}")["state"] != "cancelled":
        time.sleep(0.25)
    return rate


def beside_copy(machine: VirtualMachine, written: Callable[[], float]) -> float:
    """Return what is written while ``qemu-img convert`` copies the disk."""
    with exported(machine) as address:
        copy = machine.directory / "copy.raw"
        limit = ["-r", str(BYTES_PER_S), "-t", "none"]
        with subprocess.Popen(["qemu-img", "convert", *limit, "-f", "raw", "-O", "raw", address, copy]) as copying:
            rate = written()
            if copying.poll() is not None:
                raise RuntimeError("the copy ended before the guest had been measured")
            copying.terminate()
        copy.unlink()
    return rate


@contextmanager
def exported(machine: VirtualMachine) -> Iterator[str]:
    """Export the running disk; the value is its address."""
    path = machine.directory / "live.sock"
    with Qmp(str(machine.monitor), timeout_s=30) as qmp:
        qmp.run("nbd-server-start", addr={"type": "unix", "data": {"path": str(path)}})
        qmp.run("block-export-add", type="nbd", id="live", node_name=NODE, name="live")
    yield f"nbd+unix:///live?socket={path}"
    with Qmp(str(machine.monitor), timeout_s=30) as qmp:
        qmp.run("nbd-server-stop")


def report(found: dict[str, list[float]]) -> None:
    """Print medians, and what the guest loses."""
    medians = {name: statistics.median(rates) for name, rates in found.items()}
    print(f"the guest writes, MiB/s, medians of {ROUNDS}; reading is limited to {BYTES_PER_S // MIB} MiB/s")
    for name, rates in found.items():
        print(f"{name:<8} {medians[name]:7.1f}  ({', '.join(f'{rate:.1f}' for rate in rates)})")
    ratios = [ours / other for ours, other in zip(found["backup"], found["convert"], strict=True)]
    print(
        f"backup / convert: {statistics.median(ratios):.2f}, rounds {min(ratios):.2f}-{max(ratios):.2f}; at least 0.9"
    )


if __name__ == "__main__":
    main()
