"""Which requests fetch a set of frames, against the frames one by one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from backupd.repository.ranges import RANGE_BYTES_MAX, coalesce
from chunker.node import Pointer

MIB = 1024 * 1024


def pointer(pack: int, offset: int, length: int) -> Pointer:
    return Pointer(bytes([pack]) * 32, bytes([pack]) * 16, offset, length)


pointers = st.lists(
    st.builds(pointer, st.integers(0, 2), st.integers(0, 64 * MIB), st.integers(1, 4 * MIB)), max_size=40
)
gaps = st.sampled_from([0, 1000, MIB])


@given(pointers, gaps)
def test_every_frame_lies_in_the_range_that_lists_it(wanted: list[Pointer], gap: int) -> None:
    listed = []
    for found in coalesce(wanted, gap_bytes_max=gap):
        for one in found.pointers:
            assert one.pack == found.pack
            assert found.offset <= one.offset
            assert one.offset + one.length <= found.offset + found.length
        listed += found.pointers
    assert sorted(listed) == sorted(set(wanted))


@given(pointers, gaps)
def test_no_range_is_too_long_or_reads_more_than_the_gaps(wanted: list[Pointer], gap: int) -> None:
    for found in coalesce(wanted, gap_bytes_max=gap):
        assert found.length <= RANGE_BYTES_MAX
        end = found.offset
        for one in found.pointers:
            assert one.offset - end <= gap
            end = max(end, one.offset + one.length)
        assert end == found.offset + found.length


@given(st.lists(st.integers(1, MIB), min_size=1, max_size=15), gaps)
def test_neighbours_are_fetched_together(lengths: list[int], gap: int) -> None:
    wanted, offset = [], 0
    for length in lengths:
        wanted.append(pointer(1, offset, length))
        offset += length + gap
    assert len(coalesce(reversed(wanted), gap_bytes_max=gap)) == -(-(offset - gap) // RANGE_BYTES_MAX) or gap == MIB
    assert len(coalesce(wanted, gap_bytes_max=gap - 1)) == len(wanted) or gap == 0


def test_nothing_needs_no_request() -> None:
    assert coalesce([], gap_bytes_max=0) == []
