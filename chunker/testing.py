"""What every source must do, as test classes: subclass one and say how the source is made.

``SourceContract`` is for all, ``TrackingContract`` for those that tell what changed, ``ResizingContract`` for those
whose volumes may also change their size. They need nothing but pytest.

The suite keeps the content that it asked for and compares what is read with that, never with another read.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from chunker.errors import ChunkerError, SourceChanged, SourceMissing, SourceTooShort
from chunker.extents import Extent, between, subtract
from chunker.sources.base import ParentPoint, PointInTime, Source

SIZE_BYTES = 1024 * 1024 + 512  # Devices have whole sectors; nothing else about this size is round.
HOLE = Extent(256 * 1024, 512 * 1024)


def content_with_hole() -> bytes:
    """Return the content that the suite asks for: random bytes around ``HOLE``."""
    content = bytearray(random.Random(1).randbytes(SIZE_BYTES))
    content[HOLE.offset_bytes : HOLE.end_bytes] = bytes(HOLE.length_bytes)
    return bytes(content)


class SourceContract(ABC):
    """The contract of every source."""

    @abstractmethod
    def make_source(self, content: bytes) -> Source:
        """Return a new source that holds ``content``; ``HOLE`` may be one."""

    @abstractmethod
    def make_missing(self) -> Source:
        """Return a source whose volume does not exist."""

    @abstractmethod
    def swap(self, source: Source) -> None:
        """Put another volume in the place of the one of ``source``; of another size if only that can be told."""

    def reopened(self, source: Source) -> Source:
        """Return the same volume as a process that starts now would find it."""
        return source

    def test_size_is_exact(self) -> None:
        with self._open() as point:
            assert point.size_bytes == SIZE_BYTES

    def test_identity_is_the_same_at_each_opening(self) -> None:
        source = self.make_source(content_with_hole())
        with opened(source) as point:
            first = point.identity
        with opened(source) as point:
            assert point.identity == first != ""

    def test_volume_that_does_not_exist_is_missing(self) -> None:
        assert_raises(SourceMissing, self.make_missing().open)

    def test_content_is_read_as_it_is(self) -> None:
        with self._open() as point:
            assert read(point, Extent(0, SIZE_BYTES)) == content_with_hole()

    def test_any_range_can_be_read(self) -> None:
        content, chance = content_with_hole(), random.Random(2)
        with self._open() as point:
            for _ in range(50):
                start, end = sorted(chance.randrange(SIZE_BYTES + 1) for _ in "ab")
                assert read(point, Extent(start, end - start)) == content[start:end]

    def test_only_the_given_buffer_is_filled(self) -> None:
        room = bytearray(b"\xa5" * 300)
        with self._open() as point:
            point.read_into(4000, memoryview(room)[100:200])
        assert room == b"\xa5" * 100 + content_with_hole()[4000:4100] + b"\xa5" * 100

    def test_range_past_the_end_is_refused(self) -> None:
        with self._open() as point:
            assert_raises(SourceTooShort, lambda: read(point, Extent(SIZE_BYTES - 10, 11)))
            assert_raises(SourceTooShort, lambda: read(point, Extent(SIZE_BYTES + 4096, 1)))

    def test_what_is_no_data_reads_as_zeros(self) -> None:
        with self._open() as point:
            whole = Extent(0, SIZE_BYTES)
            for hole in subtract([whole], point.data_extents(whole)):
                assert not any(content_with_hole()[hole.offset_bytes : hole.end_bytes])

    def test_data_extents_ascend_within_what_was_asked_for(self) -> None:
        within = Extent(100_001, SIZE_BYTES)  # Reaches past the end of the volume.
        position = within.offset_bytes
        with self._open() as point:
            for extent in point.data_extents(within):
                assert extent.offset_bytes >= position
                assert extent.length_bytes > 0
                position = extent.end_bytes
        assert position == SIZE_BYTES

    def test_data_is_found_in_windows_of_any_size(self) -> None:
        content = content_with_hole()
        with self._open() as point:
            for start in range(0, SIZE_BYTES, 77_777):
                within = between(start, min(start + 77_777, SIZE_BYTES))
                for hole in subtract([within], point.data_extents(within)):
                    assert not any(content[hole.offset_bytes : hole.end_bytes])

    def test_threads_may_read_at_once(self) -> None:
        content = content_with_hole()
        extents = [Extent(start, 1000) for start in range(0, SIZE_BYTES - 1000, 4999)]
        with self._open() as point, ThreadPoolExecutor(4) as threads:
            parts = threads.map(lambda extent: read(point, extent), extents)
            assert list(parts) == [content[extent.offset_bytes : extent.end_bytes] for extent in extents]

    def test_threads_may_ask_for_data_at_once(self) -> None:
        whole = Extent(0, SIZE_BYTES)
        with self._open() as point, ThreadPoolExecutor(4) as threads:
            answers = list(threads.map(lambda _: tuple(point.data_extents(whole)), range(8)))
        assert len(set(answers)) == 1

    def test_check_passes_while_nothing_changes(self) -> None:
        with self._open() as point:
            point.check()
            read(point, Extent(0, SIZE_BYTES))
            point.check()

    def test_check_notices_another_volume_in_its_place(self) -> None:
        source = self.make_source(content_with_hole())
        with opened(source) as point:
            self.swap(source)
            assert_raises(SourceChanged, point.check)

    def test_changes_against_another_volume_are_not_known(self) -> None:
        with self._open() as point:
            changes = point.changed_since(ParentPoint(point.token, "another", SIZE_BYTES))
            assert changes.extents is None
            assert changes.reason

    def test_endings_may_be_called_twice(self) -> None:
        with self._open() as point:
            for end in (point.rollback, point.commit, point.commit, point.rollback, point.close, point.close):
                end()

    @contextmanager
    def _open(self) -> Iterator[PointInTime]:
        with opened(self.make_source(content_with_hole())) as point:
            yield point


class TrackingContract(SourceContract):
    """The contract of sources that track changes themselves."""

    histories = 3  # How many are made up, of how many points; fewer do where each takes its time.
    rounds = 8

    @abstractmethod
    def write(self, source: Source, offset_bytes: int, content: bytes) -> None:
        """Write to the volume as a guest does."""

    def discard(self, source: Source, extent: Extent) -> None:
        """Make a range read as zeros, as a guest does."""
        self.write(source, extent.offset_bytes, bytes(extent.length_bytes))

    def test_written_bytes_are_told_as_changed(self) -> None:
        source = self.make_source(content_with_hole())
        parent = self._committed(source)
        self.write(source, 300_000, b"changed")
        with opened(source) as point:
            assert_covers(point, parent, Extent(300_000, 7))

    def test_discarded_range_is_told_as_changed(self) -> None:
        source = self.make_source(content_with_hole())
        parent = self._committed(source)
        self.discard(source, Extent(100_000, 10_000))
        with opened(source) as point:
            assert_covers(point, parent, Extent(100_000, 10_000))
            assert read(point, Extent(100_000, 10_000)) == bytes(10_000)

    def test_unwritten_volume_has_no_changes(self) -> None:
        source = self.make_source(content_with_hole())
        parent = self._committed(source)
        with opened(self.reopened(source)) as point:
            assert point.changed_since(parent).extents == ()

    def test_point_does_not_move_with_later_writes(self) -> None:
        source = self.make_source(content_with_hole())
        with opened(source) as point:
            self.write(source, 10, b"changed")
            assert read(point, Extent(0, SIZE_BYTES)) == content_with_hole()
            point.check()

    def test_write_after_a_point_belongs_to_the_next_one(self) -> None:
        source = self.make_source(content_with_hole())
        parent = self._committed(source, during=lambda: self.write(source, 10, b"changed"))
        with opened(source) as point:
            assert_covers(point, parent, Extent(10, 7))

    def test_rollback_loses_no_change(self) -> None:
        source = self.make_source(content_with_hole())
        parent = self._committed(source)
        self.write(source, 10, b"before")
        with opened(source) as failed:
            self.write(source, 700_000, b"during")
            failed.rollback()
        with opened(self.reopened(source)) as point:
            assert_covers(point, parent, Extent(10, 6), Extent(700_000, 6))

    def test_point_that_never_ended_loses_no_change(self) -> None:
        source = self.make_source(content_with_hole())
        parent = self._committed(source)
        self.write(source, 10, b"before")
        with opened(source):  # A crash, as far as tracking goes: neither commit nor rollback.
            self.write(source, 700_000, b"during")
        with opened(self.reopened(source)) as point:
            assert_covers(point, parent, Extent(10, 6), Extent(700_000, 6))

    def test_point_that_was_published_but_never_committed_can_be_a_parent(self) -> None:
        source = self.make_source(content_with_hole())
        self._committed(source)
        with opened(source) as point:  # The crash comes between the two.
            parent = ParentPoint(point.token, point.identity, point.size_bytes)
            self.write(source, 700_000, b"during")
        with opened(self.reopened(source)) as point:
            assert_covers(point, parent, Extent(700_000, 6))

    def test_older_point_is_told_from_in_full_or_not_at_all(self) -> None:
        source = self.make_source(content_with_hole())
        older = self._committed(source)
        self.write(source, 10, b"between")
        self._committed(source)
        self.write(source, 700_000, b"since")
        with opened(source) as point:
            changes = point.changed_since(older)
            if changes.extents is None:
                assert changes.reason
            else:
                assert_covers(point, older, Extent(10, 7), Extent(700_000, 5))

    def test_parent_without_a_token_is_not_told_from(self) -> None:
        source = self.make_source(content_with_hole())
        with opened(source) as point:
            changes = point.changed_since(ParentPoint(None, point.identity, SIZE_BYTES))
            assert changes.extents is None
            assert changes.reason

    def test_strange_token_is_not_told_from(self) -> None:
        source = self.make_source(content_with_hole())
        with opened(source) as point:
            for token in ("", "\0", "no token of ours", "-1", "{}"):
                changes = point.changed_since(ParentPoint(token, point.identity, SIZE_BYTES))
                assert changes.extents is None
                assert changes.reason

    def test_any_history_adds_up_to_the_volume(self) -> None:
        for seed in range(self.histories):
            _History(self, random.Random(seed)).run(rounds=self.rounds)

    def _committed(self, source: Source, *, during: Callable[[], None] = lambda: None) -> ParentPoint:
        with opened(source) as point:
            during()
            point.commit()
            return ParentPoint(point.token, point.identity, point.size_bytes)


class ResizingContract(TrackingContract):
    """The contract of sources that track changes of volumes that may grow and shrink between two points."""

    @abstractmethod
    def resize(self, source: Source, size_bytes: int) -> None:
        """Cut the volume, or add zeros to it."""

    def test_added_bytes_are_told_as_changed(self) -> None:
        source = self.make_source(content_with_hole())
        parent = self._committed(source)
        self.resize(source, SIZE_BYTES * 2)
        with opened(self.reopened(source)) as point:
            assert point.size_bytes == SIZE_BYTES * 2
            assert_covers(point, parent, Extent(SIZE_BYTES, SIZE_BYTES))

    def test_changes_end_where_a_shrunken_volume_ends(self) -> None:
        source = self.make_source(content_with_hole())
        parent = self._committed(source)
        self.write(source, SIZE_BYTES - 1000, b"cut off")
        self.resize(source, SIZE_BYTES // 2)
        with opened(self.reopened(source)) as point:
            assert point.size_bytes == SIZE_BYTES // 2
            assert_covers(point, parent)
            assert subtract(point.changed_since(parent).extents or (), [Extent(0, point.size_bytes)]) == ()

    def test_what_was_cut_off_and_added_again_is_told_as_changed(self) -> None:
        source = self.make_source(content_with_hole())
        parent = self._committed(source)
        self.resize(source, SIZE_BYTES // 2)
        self.resize(source, SIZE_BYTES)
        with opened(self.reopened(source)) as point:
            lost = between(max(SIZE_BYTES // 2, HOLE.end_bytes), SIZE_BYTES)
            assert_covers(point, parent, lost)
            assert read(point, lost) == bytes(lost.length_bytes)


class _History:
    """Random writes, discards and endings; the volume is always what it was plus what is told as changed."""

    def __init__(self, suite: TrackingContract, chance: random.Random) -> None:
        self._suite = suite
        self._chance = chance
        self._now = bytearray(content_with_hole())
        self._source = suite.make_source(bytes(self._now))
        with opened(self._source) as point:
            self._keep(point)
            point.commit()

    def run(self, *, rounds: int) -> None:
        for _ in range(rounds):
            self._change()
            with opened(self._suite.reopened(self._source)) as point:
                frozen = bytes(self._now)
                self._change()
                is_same = self._rebuilt(point) == frozen  # Told apart here: nobody wants to see where a MiB differs.
                assert is_same, "the volume is not what it was plus what is told as changed"
                match self._chance.choice(("commit", "rollback", "crash", "crash after it was published")):
                    case "commit":
                        self._keep(point, frozen)
                        point.commit()
                    case "rollback":
                        point.rollback()
                    case "crash after it was published":
                        self._keep(point, frozen)

    def _change(self) -> None:
        for _ in range(self._chance.randrange(4)):
            start, end = sorted(self._chance.randrange(SIZE_BYTES + 1) for _ in "ab")
            extent = between(start, min(end, start + self._chance.choice((1, 512, 70_000, SIZE_BYTES))))
            if self._chance.random() < 0.3:
                self._suite.discard(self._source, extent)
                content = bytes(extent.length_bytes)
            else:
                content = self._chance.randbytes(extent.length_bytes)
                self._suite.write(self._source, extent.offset_bytes, content)
            self._now[extent.offset_bytes : extent.end_bytes] = content

    def _keep(self, point: PointInTime, frozen: bytes | None = None) -> None:
        self._parent = ParentPoint(point.token, point.identity, point.size_bytes)
        self._content = bytes(self._now) if frozen is None else frozen

    def _rebuilt(self, point: PointInTime) -> bytes:
        changes = point.changed_since(self._parent)
        assert changes.extents is not None, changes.reason
        rebuilt = bytearray(self._content)
        for extent in changes.extents:
            rebuilt[extent.offset_bytes : extent.end_bytes] = read(point, extent)
        return bytes(rebuilt)


@contextmanager
def opened(source: Source) -> Iterator[PointInTime]:
    """Open a point and close it at the end."""
    point = source.open()
    try:
        yield point
    finally:
        point.close()


def read(point: PointInTime, extent: Extent) -> bytes:
    """Return the bytes of ``extent``."""
    buffer = bytearray(extent.length_bytes)
    point.read_into(extent.offset_bytes, memoryview(buffer))
    return bytes(buffer)


def assert_covers(point: PointInTime, parent: ParentPoint, *written: Extent) -> None:
    """Assert that all of ``written`` is told as changed since ``parent``."""
    changes = point.changed_since(parent)
    assert changes.extents is not None, changes.reason
    assert subtract(written, changes.extents) == ()


def assert_raises(expected: type[ChunkerError], act: Callable[[], object]) -> None:
    """Assert that ``act`` raises exactly ``expected``."""
    try:
        act()
    except ChunkerError as error:
        assert type(error) is expected, error  # noqa: PT017 - this package does without pytest
    else:
        raise AssertionError(f"{expected.__name__} was not raised")
