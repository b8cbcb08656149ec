"""A source whose changes somebody else has told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from chunker.errors import SourceError
from chunker.extents import Extent, between, clip, merge
from chunker.sources.base import Changes, ParentPoint, PointInTime, Source


class GivenExtents:
    """Another source, with the extents that changed since the parent given by the caller."""

    def __init__(self, source: Source, extents: Iterable[Extent]) -> None:
        self._source = source
        self._extents = merge(extents)

    def open(self) -> GivenExtentsPoint:
        """Open the other source. SourceError when an extent ends behind it; else what that one raises."""
        point = self._source.open()
        last = self._extents[-1] if self._extents else Extent(0, 0)
        if last.end_bytes > point.size_bytes:
            point.close()
            raise SourceError(
                f"changed extent of {last.length_bytes} bytes at {last.offset_bytes} "
                f"ends behind the volume's {point.size_bytes} bytes"
            )
        return GivenExtentsPoint(point, self._extents)


class GivenExtentsPoint:
    """A point of the other source; only what changed is told from the given extents."""

    def __init__(self, point: PointInTime, extents: tuple[Extent, ...]) -> None:
        self._point = point
        self._extents = extents

    @property
    def size_bytes(self) -> int:
        return self._point.size_bytes

    @property
    def identity(self) -> str:
        return self._point.identity

    @property
    def token(self) -> str | None:
        return self._point.token

    def changed_since(self, parent: ParentPoint) -> Changes:
        if parent.identity != self.identity:
            return Changes(None, f"the parent is of {parent.identity}, this volume is {self.identity}")
        # Whoever told the extents may have thought of the bytes that the parent had; growth is a change too.
        growth = between(parent.size_bytes, self.size_bytes)
        return Changes(clip((*self._extents, growth), Extent(0, self.size_bytes)))

    def data_extents(self, within: Extent) -> Iterator[Extent]:
        return self._point.data_extents(within)

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        self._point.read_into(offset_bytes, buffer)

    def check(self) -> None:
        self._point.check()

    def commit(self) -> None:
        self._point.commit()

    def rollback(self) -> None:
        self._point.rollback()

    def close(self) -> None:
        self._point.close()
