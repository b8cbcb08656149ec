"""A daemon that dies at each of its steps in QEMU: the next attempt loses no change, and takes everything down."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from typing import Any

from chunker.extents import Extent
from chunker.sources.base import ParentPoint
from chunker.sources.qemu.disk import Wanted
from chunker.sources.qemu.monitor import Monitor
from chunker.sources.qemu.qmp import Qmp
from chunker.sources.qemu.source import QemuSource, Site
from chunker.testing import opened, read
from tests.support.qemu import make_qemu_source, make_site
from tests.support.servers.storage_daemon import DISK, Guest, MakeStorageDaemon

SIZE_BYTES = 2 * 1024 * 1024
BLOCK_BYTES = 64 * 1024


class Died(BaseException):
    """The process is gone: nothing that it would have done afterwards happens."""


class MortalQmp(Qmp):
    """Dies before the command that its monitor says, and before each later one."""

    mortal: MortalMonitor

    def run(self, command: str, **arguments: Any) -> Any:
        if command != "qmp_capabilities":
            self.mortal.step(command)
        return super().run(command, **arguments)


class MortalMonitor(Monitor):
    """A monitor for ``steps_max`` commands."""

    def __init__(self, path: str, *, steps_max: int) -> None:
        super().__init__(path, timeout_s=20)
        self._steps_max = steps_max
        self.steps: list[str] = []

    @contextmanager
    def talk(self) -> Iterator[Qmp]:
        with MortalQmp(self.path, timeout_s=20) as qmp:
            qmp.mortal = self
            yield qmp

    def step(self, command: str) -> None:
        """Count a command, or die."""
        if len(self.steps) >= self._steps_max:
            raise Died(command)
        self.steps.append(command)


class Backups:
    """What a repository has: the content of the last backup that was published, and its point."""

    def __init__(self) -> None:
        self.parent: ParentPoint | None = None
        self.content = bytearray(SIZE_BYTES)

    def take(self, source: QemuSource) -> None:
        """Back up: read what changed, publish, and let tracking go on from there."""
        with opened(source) as point:
            content = bytearray(self.content)
            extents: tuple[Extent, ...] = (Extent(0, SIZE_BYTES),)
            if self.parent is not None:
                changes = point.changed_since(self.parent)
                assert changes.extents is not None, changes.reason
                extents = changes.extents
            for extent in extents:
                content[extent.offset_bytes : extent.end_bytes] = read(point, extent)
            point.check()
            self.content, self.parent = content, ParentPoint(point.token, point.identity, point.size_bytes)
            point.commit()


def scribble(guest: Guest, chance: random.Random) -> None:
    for _ in range(3):
        guest.write(chance.randrange(SIZE_BYTES // BLOCK_BYTES) * BLOCK_BYTES, chance.randbytes(BLOCK_BYTES))


def test_p4_crash_at_each_step_of_the_rotation_of_bitmaps(make_storage_daemon: MakeStorageDaemon) -> None:
    daemon, chance, backups = make_storage_daemon(SIZE_BYTES), random.Random(1), Backups()
    site = make_site(daemon)
    with closing(daemon.guest()) as guest:
        backups.take(QemuSource(site, Wanted(node=DISK)))
        for steps_max in range(1000):
            scribble(guest, chance)
            monitor = MortalMonitor(str(daemon.monitor), steps_max=steps_max)
            is_dead = _attempt(backups, replace(site, monitor=monitor))
            scribble(guest, chance)
            backups.take(make_qemu_source(daemon))
            with opened(make_qemu_source(daemon)) as point:
                assert read(point, Extent(0, SIZE_BYTES)) == backups.content, monitor.steps
            assert daemon.traces() == [], monitor.steps
            if not is_dead:
                assert steps_max > 30
                return


def _attempt(backups: Backups, site: Site) -> bool:
    """Tell whether the process died."""
    with suppress(Died):
        backups.take(QemuSource(site, Wanted(node=DISK)))
        return False
    return True


def test_p4_crash_of_both_loses_no_change(make_storage_daemon: MakeStorageDaemon) -> None:
    """QEMU is ended in good order while a daemon is dead that had begun: the increment after that is complete."""
    daemon, chance, backups = make_storage_daemon(SIZE_BYTES), random.Random(2), Backups()
    with closing(daemon.guest()) as guest:
        scribble(guest, chance)
        backups.take(make_qemu_source(daemon))
        scribble(guest, chance)
        make_qemu_source(daemon).open()
        scribble(guest, chance)
    daemon.stop()
    daemon.start()
    with closing(daemon.guest()) as guest:
        scribble(guest, chance)
    backups.take(make_qemu_source(daemon))
    daemon.stop()
    assert daemon.content() == backups.content
