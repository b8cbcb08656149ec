"""What a source of volume bytes is. Everything here may block and is called from worker threads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from chunker.extents import Extent


@dataclass(frozen=True, slots=True)
class ParentPoint:
    """The earlier point in time that changes are asked against, as its backup recorded it."""

    token: str | None
    identity: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Changes:
    """What may differ from a parent; ``extents`` is None when that is not known, and ``reason`` says why."""

    extents: tuple[Extent, ...] | None
    reason: str | None = None

    def __post_init__(self) -> None:
        assert (self.extents is None) == (self.reason is not None), "either extents or a reason"


@dataclass(frozen=True, slots=True)
class Found:
    """A volume that is there: the address to have it by, and its size."""

    source: str
    size_bytes: int


class Source(Protocol):
    """A volume that points in time can be taken of."""

    def open(self) -> PointInTime:
        """Take a point in time. SourceMissing, SourceBusy, SourceUnreadable, SourceError."""


class PointInTime(Protocol):
    """A volume as it was at one instant. Its methods may be called from several threads at once.

    The caller has seen all its reads return before it calls ``close``.
    """

    @property
    def size_bytes(self) -> int:
        """The exact size of the volume."""

    @property
    def identity(self) -> str:
        """What tells this volume from any other one; the same at each opening."""

    @property
    def token(self) -> str | None:
        """What a later point needs to tell the changes since this one; None when nothing can."""

    def changed_since(self, parent: ParentPoint) -> Changes:
        """Tell all that may differ from ``parent``, what lies behind its end included. SourceUnreadable."""

    def data_extents(self, within: Extent) -> Iterator[Extent]:
        """Yield what may hold data, ascending, clipped to ``within``; the rest is zeros. SourceUnreadable."""

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        """Fill the whole buffer. SourceTooShort when the volume ends before, SourceUnreadable."""

    def check(self) -> None:
        """SourceChanged unless this still is the volume that was opened, of the same size and unwritten."""

    def commit(self) -> None:
        """The backup of this point was published: later changes are told from here. May be called twice."""

    def rollback(self) -> None:
        """The backup of this point failed: no change may be forgotten. May be called twice."""

    def close(self) -> None:
        """Release what the point holds; tracking stays as it is. May be called twice."""
