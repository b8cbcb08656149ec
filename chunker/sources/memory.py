"""A volume in memory, with changed-block tracking that can be told to lie: for tests and measurements.

Every point in time starts a new bitmap; what changed since point N is the union of the bitmaps from N on;
only a commit drops bitmaps, those older than its own point. So no failure loses a change.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from chunker.errors import SourceChanged, SourceMissing, SourceTooShort, SourceUnreadable
from chunker.extents import Extent, between, clip, merge
from chunker.sources.base import Changes, ParentPoint

PAGE_BYTES = 64 * 1024  # The grain of both the storage and the bitmaps.
_ZERO_PAGE = bytes(PAGE_BYTES)


@dataclass(slots=True)
class Reads:
    """What was read from a volume so far."""

    calls: int = 0
    bytes: int = 0


class MemoryVolume:
    """A sparse volume in memory: a source, and the guest that writes to it. Thread-safe.

    With a ``seed`` it starts full of random bytes, else it starts as one hole.
    """

    def __init__(self, size_bytes: int, *, seed: int | None = None, identity: str = "memory:volume") -> None:
        self.identity = identity
        self.reads = Reads()
        self._size_bytes = size_bytes
        self._pages: dict[int, bytes] = {}  # A page never changes in place, so points can share it.
        self._bitmaps: dict[int, set[int]] = {}
        self._last_token = 0
        self._is_gone = False
        self._failing_offsets: set[int] = set()
        self._lock = threading.RLock()
        if seed is not None:
            self.write(0, random.Random(seed).randbytes(size_bytes))  # noqa: S311 - repeatable, no secret

    @property
    def size_bytes(self) -> int:
        return self._size_bytes

    def open(self) -> MemoryPoint:
        """Freeze the volume as it is now and start a new bitmap. SourceMissing once it was removed."""
        with self._lock:
            if self._is_gone:
                raise SourceMissing(f"{self.identity} was removed")
            self._last_token += 1
            self._bitmaps[self._last_token] = set()
            return MemoryPoint(self, self._last_token, self._size_bytes, dict(self._pages))

    def write(self, offset_bytes: int, content: bytes) -> None:
        """Write as a guest does. SourceTooShort behind the end."""
        with self._lock:
            self._refuse_behind_end(offset_bytes, len(content))
            for page, start, part in _pages(offset_bytes, len(content)):
                old = self._pages.get(page, _ZERO_PAGE)
                at = page * PAGE_BYTES + start - offset_bytes
                self._pages[page] = old[:start] + content[at : at + part] + old[start + part :]
                self._mark(page)

    def discard(self, offset_bytes: int, length_bytes: int) -> None:
        """Make the range read as zeros, and holes of the whole pages in it. SourceTooShort behind the end."""
        with self._lock:
            self._refuse_behind_end(offset_bytes, length_bytes)
            for page, start, part in _pages(offset_bytes, length_bytes):
                old = self._pages.pop(page, _ZERO_PAGE)
                if part < PAGE_BYTES:
                    self._pages[page] = old[:start] + bytes(part) + old[start + part :]
                self._mark(page)

    def resize(self, size_bytes: int) -> None:
        """Grow with zeros or cut. Open points stay as they are."""
        with self._lock:
            if size_bytes < self._size_bytes:
                self.discard(size_bytes, self._size_bytes - size_bytes)
            self._size_bytes = size_bytes

    def remove(self) -> None:
        """Let nobody find the volume from now on. Open points stay as they are."""
        self._is_gone = True

    def forget(self, extent: Extent) -> None:
        """Lie from now on: no bitmap shows the pages of ``extent`` as changed."""
        pages = {page for page, _, _ in _pages(extent.offset_bytes, extent.length_bytes)}
        with self._lock:
            for bitmap in self._bitmaps.values():
                bitmap.difference_update(pages)

    def fail_reads_at(self, offset_bytes: int) -> None:
        """Make every read that covers the byte fail with SourceUnreadable."""
        self._failing_offsets.add(offset_bytes)

    def changed(self, *, since: str, until: int) -> set[int] | None:
        """Return the pages written from the point of a token on; None when that is not tracked any more."""
        with self._lock:
            first = next((token for token in self._bitmaps if str(token) == since), None)
            if first is None:
                return None
            return set().union(*(pages for token, pages in self._bitmaps.items() if first <= token < until))

    def drop_bitmaps(self, *, before: int) -> None:
        """Forget what changed before a point."""
        with self._lock:
            self._bitmaps = {token: pages for token, pages in self._bitmaps.items() if token >= before}

    def count_read(self, extent: Extent) -> None:
        """Count a read. SourceUnreadable where it was told to fail."""
        with self._lock:
            self.reads.calls += 1
            self.reads.bytes += extent.length_bytes
        for offset_bytes in self._failing_offsets:
            if extent.offset_bytes <= offset_bytes < extent.end_bytes:
                raise SourceUnreadable(f"{self.identity} cannot be read at byte {offset_bytes}: told to fail")

    def _mark(self, page: int) -> None:
        if self._bitmaps:
            self._bitmaps[self._last_token].add(page)

    def _refuse_behind_end(self, offset_bytes: int, length_bytes: int) -> None:
        if offset_bytes + length_bytes > self._size_bytes:
            raise SourceTooShort(
                f"{self.identity} has {self._size_bytes} bytes: expected {length_bytes} at {offset_bytes}"
            )


class MemoryPoint:
    """A memory volume as it was when it was opened, whatever is written to it afterwards."""

    def __init__(self, volume: MemoryVolume, token: int, size_bytes: int, pages: dict[int, bytes]) -> None:
        self.size_bytes = size_bytes
        self.identity = volume.identity
        self.token: str | None = str(token)
        self._number = token
        self._volume = volume
        self._pages = pages

    def changed_since(self, parent: ParentPoint) -> Changes:
        if parent.identity != self.identity:
            return Changes(None, f"the parent is of {parent.identity}, this volume is {self.identity}")
        if parent.token is None:
            return Changes(None, "the parent has no token")
        pages = self._volume.changed(since=parent.token, until=self._number)
        if pages is None:
            return Changes(None, f"changes since token {parent.token} are not tracked any more")
        # Growth is in no bitmap: the parent's size tells it.
        growth = between(parent.size_bytes, self.size_bytes)
        return Changes(merge((*self._extents_of(pages, Extent(0, self.size_bytes)), growth)))

    def data_extents(self, within: Extent) -> Iterator[Extent]:
        yield from self._extents_of(self._pages, within)

    def _extents_of(self, pages: Iterable[int], within: Extent) -> tuple[Extent, ...]:
        extents = merge(Extent(page * PAGE_BYTES, PAGE_BYTES) for page in pages)
        return clip(extents, between(within.offset_bytes, min(within.end_bytes, self.size_bytes)))

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        if offset_bytes + buffer.nbytes > self.size_bytes:
            raise SourceTooShort(
                f"{self.identity} at byte {offset_bytes}: expected {buffer.nbytes} bytes, "
                f"got {max(self.size_bytes - offset_bytes, 0)}"
            )
        self._volume.count_read(Extent(offset_bytes, buffer.nbytes))
        for page, start, part in _pages(offset_bytes, buffer.nbytes):
            at = page * PAGE_BYTES + start - offset_bytes
            buffer[at : at + part] = self._pages.get(page, _ZERO_PAGE)[start : start + part]

    def check(self) -> None:
        if self._volume.identity != self.identity:
            raise SourceChanged(f"{self.identity} is now {self._volume.identity}")

    def commit(self) -> None:
        self._volume.drop_bitmaps(before=self._number)

    def rollback(self) -> None:
        """Keep every bitmap: the union from the parent on still has all that changed since then."""

    def close(self) -> None:
        """Do nothing: the pages go with the point."""


def _pages(offset_bytes: int, length_bytes: int) -> Iterator[tuple[int, int, int]]:
    """Yield (page, start in it, length in it) for each page that the range touches."""
    end_bytes = offset_bytes + length_bytes
    while offset_bytes < end_bytes:
        page, start = divmod(offset_bytes, PAGE_BYTES)
        part = min(PAGE_BYTES - start, end_bytes - offset_bytes)
        yield page, start, part
        offset_bytes += part
