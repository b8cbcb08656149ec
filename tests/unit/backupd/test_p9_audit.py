"""Promise P9: tracking that lies is found within the audit's budget, and the backups that it touched are named."""

from __future__ import annotations

import math
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backupd.config import AuditConfig
from backupd.jobs.auditing import sample
from backupd.model import Backup
from chunker.extents import Extent, merge
from chunker.sources.memory import MemoryVolume
from tests.support.nightly import CHUNK_BYTES, Nightly, nightly

CHUNKS = 40
WITHIN = 4
AUDIT = AuditConfig(cover_within_backups=WITHIN, cover_within_days=0)


class Liar:
    """A guest that writes whole chunks; ``stale`` are those whose last change was not told."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed + 1000)  # Never what the volume begins with.
        self.volume = MemoryVolume(CHUNKS * CHUNK_BYTES, seed=seed)
        self.stale: set[int] = set()

    def write(self, chunk: int, *, is_told: bool = True) -> None:
        self.volume.write(chunk * CHUNK_BYTES, self._chance.randbytes(CHUNK_BYTES))
        if is_told:
            self.stale.discard(chunk)
        else:
            self.volume.forget(Extent(chunk * CHUNK_BYTES, CHUNK_BYTES))
            self.stale.add(chunk)

    def content(self) -> bytes:
        point = self.volume.open()
        content = bytearray(point.size_bytes)
        point.read_into(0, memoryview(content))
        return bytes(content)


@pytest.fixture
def liar() -> Liar:
    return Liar(1)


@pytest.fixture
async def backups(tmp_path: Path, liar: Liar) -> AsyncIterator[Nightly]:
    async with nightly(tmp_path / "backups", liar.volume, AUDIT) as backups:
        await backups.back_up()
        yield backups


async def test_p9_audit_a_change_that_was_not_told_is_found_and_the_same_backup_is_right(
    backups: Nightly, liar: Liar
) -> None:
    liar.write(0, is_told=False)  # The audit begins at the start.
    found = await backups.back_up()
    assert found.full_read_reason == (
        "tracking is wrong: changes at byte 0 were not told, of 10 chunks that were looked at"
    )
    assert found.read_as == "whole"
    assert await backups.restored(found) == liar.content()


async def test_p9_audit_every_backup_since_the_range_was_last_right_is_suspect(backups: Nightly, liar: Liar) -> None:
    before = [await backups.back_up() for _ in range(WITHIN)]  # Chunk 0 was right in the first of them.
    liar.write(11, is_told=False)  # Looked at by the second of the next ones.
    after = [await backups.back_up() for _ in range(2)]
    assert after[1].full_read_reason is not None
    marked = [(await backups.one(backup.id)).suspect_reason for backup in (*before, *after)]
    assert [reason is not None for reason in marked] == [False, False, True, True, True, False]
    assert marked[-2] == (
        f"backup {after[1].id} found: changes at byte {11 * CHUNK_BYTES} were not told, "
        "of 10 chunks that were looked at"
    )


async def test_p9_audit_a_full_backup_clears_what_came_before_it(backups: Nightly, liar: Liar) -> None:
    first = backups.latest
    assert first is not None
    liar.write(0, is_told=False)
    await backups.back_up()
    assert (await backups.one(first.id)).suspect_reason is None


async def test_p9_audit_tracking_that_lied_is_not_trusted_until_somebody_says_so(backups: Nightly, liar: Liar) -> None:
    liar.write(0, is_told=False)
    await backups.back_up()
    reason = (await backups.back_up()).full_read_reason
    assert reason is not None
    assert reason.startswith("tracking is quarantined: changes at byte 0 were not told")
    await backups.catalog.trust_tracking(backups.volume.id)
    assert (await backups.back_up()).read_as == "tracked"


async def test_p9_audit_data_that_became_a_hole_untold_is_found(backups: Nightly, liar: Liar) -> None:
    liar.volume.discard(0, CHUNK_BYTES)
    liar.volume.forget(Extent(0, CHUNK_BYTES))
    found = await backups.back_up()
    assert found.read_as == "whole"
    assert await backups.restored(found) == liar.content()


async def test_p9_audit_honest_tracking_costs_its_share_and_stays_trusted(backups: Nightly, liar: Liar) -> None:
    for number in range(2 * WITHIN):
        liar.write(number)
        increment = await backups.back_up()
        assert increment.read_as == "tracked"
        assert increment.statistics is not None
        assert increment.statistics.audited_chunks in (CHUNKS // WITHIN, CHUNKS // WITHIN - 1)
        assert increment.statistics.read_bytes <= (CHUNKS // WITHIN + 1) * CHUNK_BYTES
    assert (await backups.catalog.tracking(backups.volume.id)).quarantine_reason is None


@pytest.mark.parametrize("seed", range(6))
async def test_p9_audit_a_source_that_drops_changes_is_found_within_the_bound(tmp_path: Path, seed: int) -> None:
    """With p the chance of a change to be dropped: whatever p is, of the backups since a chunk went stale at
    most WITHIN - 1 are wrong; the next one finds it, is right itself, and marks all of those.
    """
    chance, liar = random.Random(seed), Liar(seed)
    probability = chance.choice([0.02, 0.1, 0.5])
    async with nightly(tmp_path / "backups", liar.volume, AUDIT) as backups:
        await backups.back_up()
        wrong: list[Backup] = []
        for _ in range(30):
            for _ in range(chance.randrange(4)):
                liar.write(chance.randrange(CHUNKS), is_told=chance.random() >= probability)
            made = await backups.back_up()
            if made.read_as == "whole":
                assert await backups.restored(made) == liar.content()
                for backup in wrong:
                    assert (await backups.one(backup.id)).suspect_reason is not None
                return
            if not liar.stale:
                wrong.clear()  # Changed again and told, so that what comes now is right.
            else:
                wrong.append(made)
            assert len(wrong) < 2 * WITHIN, "each chunk is found within WITHIN, and new ones went stale meanwhile"


@given(st.integers(1, 3000), st.integers(1, 60), st.integers(0, 3000), st.sampled_from([4096, 65536]))
def test_a_volume_is_covered_within_the_configured_backups(
    size_bytes: int, within: int, first: int, chunk_size_bytes: int
) -> None:
    size_bytes = size_bytes * 4096 + 512
    next_offset_bytes = first * 4096 % size_bytes
    seen: tuple[Extent, ...] = ()
    for _ in range(within):
        part = sample(
            AuditConfig(cover_within_backups=within, cover_within_days=0),
            size_bytes=size_bytes,
            chunk_size_bytes=chunk_size_bytes,
            next_offset_bytes=next_offset_bytes,
            elapsed=timedelta(0),
        )
        seen = merge((*seen, *part))
        next_offset_bytes = part[-1].end_bytes % size_bytes
    assert seen == (Extent(0, size_bytes),)


@given(st.integers(1, 500), st.floats(0.5, 40), st.lists(st.floats(0.01, 5), min_size=1, max_size=50))
def test_a_volume_is_covered_within_the_configured_days(chunks: int, within: float, days: list[float]) -> None:
    size_bytes = chunks * 65536
    next_offset_bytes, seen = 0, 0
    for day in days:
        part = sample(
            AuditConfig(cover_within_backups=0, cover_within_days=within),
            size_bytes=size_bytes,
            chunk_size_bytes=65536,
            next_offset_bytes=next_offset_bytes,
            elapsed=timedelta(days=day),
        )
        seen += sum(extent.length_bytes for extent in part) // 65536
        next_offset_bytes = part[-1].end_bytes % size_bytes
    assert seen >= min(chunks, math.floor(chunks * sum(days) / within))


def test_without_a_bound_nothing_is_audited() -> None:
    config = AuditConfig(cover_within_backups=0, cover_within_days=0)
    assert sample(config, size_bytes=10, chunk_size_bytes=10, next_offset_bytes=0, elapsed=timedelta(9)) == ()
