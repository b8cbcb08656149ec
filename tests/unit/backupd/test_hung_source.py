from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from backupd.clock import SystemClock
from backupd.jobs.backup import BackupBody
from backupd.jobs.run import JobRun
from chunker.errors import SourceUnreadable
from chunker.sources.base import PointInTime
from chunker.sources.memory import MemoryVolume
from targets.memory import MemoryTarget
from tests.support.builders import LEASE_S, add_creating, claim
from tests.support.catalogs import open_catalog
from tests.support.hasty_loop import run_hastily
from tests.support.jobs import job_resources
from tests.support.rig import CountedPoint

MIB = 1024 * 1024
HOURS_S = 4 * 3600.0


class HungDevice:
    """A volume of which no read returns before the test lets it."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self._volume = MemoryVolume(16 * MIB, seed=1)

    def open(self) -> PointInTime:
        return _HungPoint(self._volume.open(), self.may_answer)


class _HungPoint(CountedPoint):
    def __init__(self, inner: PointInTime, may_answer: threading.Event) -> None:
        super().__init__(inner)
        self._may_answer = may_answer

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        assert self._may_answer.wait(30)
        super().read_into(offset_bytes, buffer)


def test_a_device_that_never_answers_fails_its_backup_though_no_thread_is_left(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        clock, device = SystemClock(), HungDevice()
        async with (
            open_catalog(tmp_path / "catalog.sqlite", clock) as catalog,
            job_resources(tmp_path, catalog, clock, target=MemoryTarget(), source=device) as resources,
        ):
            job = await claim(catalog, await add_creating(catalog))
            try:
                with pytest.raises(ExceptionGroup) as told:
                    await asyncio.wait_for(BackupBody(resources)(job, JobRun(catalog, job, LEASE_S)), HOURS_S)
            finally:
                device.may_answer.set()
        assert told.group_contains(SourceUnreadable, match="no answer to a read from offset 0 on within 300 s")

    run_hastily(scenario())
    assert "worker threads still hang after 60 s" in caplog.text
