from __future__ import annotations

import pytest

from chunker.errors import SourceChanged, SourceTooShort, SourceUnreadable
from chunker.extents import Extent
from chunker.sources.base import Changes, ParentPoint
from chunker.sources.memory import PAGE_BYTES, MemoryVolume
from chunker.testing import opened, read

SIZE_BYTES = 8 * PAGE_BYTES


def committed(volume: MemoryVolume) -> ParentPoint:
    with opened(volume) as point:
        point.commit()
        return ParentPoint(point.token, point.identity, point.size_bytes)


def changes(volume: MemoryVolume, parent: ParentPoint) -> Changes:
    with opened(volume) as point:
        return point.changed_since(parent)


def test_seed_decides_the_content() -> None:
    with opened(MemoryVolume(1000, seed=1)) as one, opened(MemoryVolume(1000, seed=1)) as same:
        assert read(one, Extent(0, 1000)) == read(same, Extent(0, 1000)) != bytes(1000)


def test_huge_volume_costs_only_what_is_written() -> None:
    volume = MemoryVolume(2**50)
    volume.write(2**49, b"here")
    with opened(volume) as point:
        assert list(point.data_extents(Extent(0, 2**50))) == [Extent(2**49, PAGE_BYTES)]


def test_discarded_pages_are_holes_and_changes() -> None:
    volume = MemoryVolume(SIZE_BYTES, seed=1)
    parent = committed(volume)
    volume.discard(PAGE_BYTES, PAGE_BYTES)
    with opened(volume) as point:
        assert Extent(PAGE_BYTES, SIZE_BYTES - PAGE_BYTES) not in list(point.data_extents(Extent(0, SIZE_BYTES)))
        assert read(point, Extent(PAGE_BYTES, PAGE_BYTES)) == bytes(PAGE_BYTES)
        assert point.changed_since(parent).extents == (Extent(PAGE_BYTES, PAGE_BYTES),)


def test_discard_leaves_the_rest_of_a_page() -> None:
    volume = MemoryVolume(PAGE_BYTES)
    volume.write(0, b"abcdef")
    volume.discard(2, 2)
    with opened(volume) as point:
        assert read(point, Extent(0, 6)) == b"ab\0\0ef"


def test_growth_is_a_change() -> None:
    volume = MemoryVolume(SIZE_BYTES)
    parent = committed(volume)
    volume.resize(SIZE_BYTES + 100)
    assert changes(volume, parent).extents == (Extent(SIZE_BYTES, 100),)


def test_what_was_cut_and_grew_again_is_zero_and_a_change() -> None:
    volume = MemoryVolume(SIZE_BYTES, seed=1)
    parent = committed(volume)
    volume.resize(SIZE_BYTES - 100)
    volume.resize(SIZE_BYTES)
    with opened(volume) as point:
        assert read(point, Extent(SIZE_BYTES - 100, 100)) == bytes(100)
        assert point.changed_since(parent).extents == (Extent(SIZE_BYTES - PAGE_BYTES, PAGE_BYTES),)


def test_bitmap_can_lie() -> None:
    volume = MemoryVolume(SIZE_BYTES)
    parent = committed(volume)
    volume.write(0, b"hidden")
    volume.forget(Extent(0, 1))
    assert changes(volume, parent).extents == ()


def test_parent_without_a_token_tells_nothing() -> None:
    volume = MemoryVolume(SIZE_BYTES)
    assert changes(volume, ParentPoint(None, volume.identity, SIZE_BYTES)).reason == "the parent has no token"


def test_reads_are_counted() -> None:
    volume = MemoryVolume(SIZE_BYTES)
    with opened(volume) as point:
        read(point, Extent(0, 100))
        read(point, Extent(50, 200))
    assert (volume.reads.calls, volume.reads.bytes) == (2, 300)


def test_told_read_fails_and_its_neighbours_do_not() -> None:
    volume = MemoryVolume(SIZE_BYTES)
    volume.fail_reads_at(100)
    with opened(volume) as point:
        read(point, Extent(0, 100))
        read(point, Extent(101, 100))
        with pytest.raises(SourceUnreadable, match="cannot be read at byte 100"):
            read(point, Extent(90, 20))


def test_write_behind_the_end_is_refused() -> None:
    with pytest.raises(SourceTooShort, match="has 1000 bytes: expected 10 at 995"):
        MemoryVolume(1000).write(995, bytes(10))


def test_change_of_identity_is_found() -> None:
    volume = MemoryVolume(SIZE_BYTES)
    with opened(volume) as point:
        volume.identity = "memory:other"
        with pytest.raises(SourceChanged, match="memory:volume is now memory:other"):
            point.check()
