"""A real guest that writes to its disk while that is backed up, and what it has to suffer for that: nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from chunker.errors import SourceChanged, SourceUnreadable
from chunker.extents import Extent
from chunker.sources.nbd.client import Effort
from chunker.sources.qemu.disk import Wanted
from chunker.sources.qemu.fleecing import Space
from chunker.sources.qemu.monitor import Monitor
from chunker.sources.qemu.source import QemuSource, Site
from chunker.testing import opened, read
from tests.support.daemon import Place, read_for_changes, serving
from tests.support.qemu import SECTION
from tests.support.servers.virtual_machine import DEVICE, SECOND_DEVICE, MakeVirtualMachine, VirtualMachine

SIZE_BYTES = 48 * 1024 * 1024
BLOCKS = SIZE_BYTES // 65536


@pytest.fixture
def machine(make_virtual_machine: MakeVirtualMachine) -> VirtualMachine:
    return make_virtual_machine(SIZE_BYTES)


async def test_p1_exact_backups_of_a_guest_that_runs_have_the_checksum_that_it_computed(
    tmp_path: Path, machine: VirtualMachine
) -> None:
    machine.ask("WRITE 0 100 101")
    machine.ask("WRITE 500 20 102")
    async with serving(Place(tmp_path, more=SECTION.format(root=machine.directory))) as daemon:
        volume = await daemon.add_source(f"qemu+qmp://{machine.monitor}?device={DEVICE}", name="disk")
        machine.ask(f"BUSY {BLOCKS} 20")
        full = await daemon.back_up(volume)
        machine.ask("WAIT")
        machine.ask("WRITE 3 4 103")
        during = await daemon.back_up(volume)
        assert during["read_as"] == "tracked"
        machine.ask("WRITE 700 1 104")
        computed = machine.ask("SUM")
        last = await daemon.back_up(volume)
        assert last["read_as"] == "tracked"
        assert read_for_changes(last) <= 4 * 65536
        restored = await daemon.restore(last, daemon.place.restores / "disk")
        assert hashlib.sha256(restored.read_bytes()).hexdigest() == computed
        machine.stop()
        assert full["read_as"] == "whole"


async def test_p1_exact_disks_of_one_guest_are_backed_up_at_one_instant(
    tmp_path: Path, make_virtual_machine: MakeVirtualMachine
) -> None:
    """The guest writes each number to its first disk, and then to its second."""
    machine = make_virtual_machine(1024 * 1024, disks=2)
    async with serving(Place(tmp_path, more=SECTION.format(root=machine.directory))) as daemon:
        for device in (DEVICE, SECOND_DEVICE):
            await daemon.add_source(f"qemu+qmp://{machine.monitor}?device={device}", name=device)
        machine.ask("PAIR 0 60")
        for _ in range(3):
            numbers = []
            for backup in await daemon.back_up_group([DEVICE, SECOND_DEVICE]):
                restored = await daemon.restore(backup, daemon.place.restores / backup["id"])
                numbers.append(int(restored.read_bytes()[:512].replace(b"\0", b"") or b"0"))
            assert numbers[0] - numbers[1] in (0, 1)
        machine.ask("WAIT")
        machine.stop()


def test_a_full_fleecing_image_fails_the_backup_and_not_the_guest(
    machine: VirtualMachine, mount_small: Callable[[Path], None]
) -> None:
    machine.ask(f"WRITE 0 {BLOCKS} 101")
    mount_small(machine.fleecing)  # Of 4 MiB.
    site = Site(
        monitor=Monitor(str(machine.monitor), timeout_s=20),
        space=Space(directory=machine.fleecing),
        effort=Effort(timeout_s=20, retries_max=0),
    )
    with opened(QemuSource(site, Wanted(device=DEVICE))) as point:
        assert read(point, Extent(0, 65536)) == b"A" * 65536
        assert machine.ask(f"WRITE 0 {BLOCKS} 102") == ""
        with pytest.raises(SourceUnreadable):
            read(point, Extent(0, 65536))
        with pytest.raises(SourceChanged):
            point.check()
    expected = hashlib.sha256(b"B" * SIZE_BYTES).hexdigest()
    assert machine.ask("SUM") == expected
    machine.stop()
