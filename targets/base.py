"""What a target is: the protocol that every driver and every wrapper keeps."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

from targets.errors import ObjectNotFound, ShortRead

T = TypeVar("T")
Body = bytes | bytearray | memoryview
UNLIMITED_BYTES = 2**63 - 1


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a target says about one object."""

    key: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a target can do. ``conditional_put``: of two writers with ``if_absent``, exactly one succeeds.

    ``servers_differ``: there are servers of this kind that do not keep what they should; probe before relying.
    """

    name: str
    conditional_put: bool
    object_size_bytes_max: int
    servers_differ: bool = False


class Target(Protocol):
    """A flat store of immutable objects. A reader sees an object whole or not at all.

    Each method refuses an illegal key (InvalidKey) and may raise any TargetError. When a method has returned
    or raised, also by cancellation, nothing that it started goes on behind the caller's back.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What this target can do."""

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        """Store a copy of ``body``, durably. ObjectExists if ``if_absent`` and the key is taken.

        Unsupported if ``if_absent`` and the target has no conditional put: it is never imitated.
        """

    async def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """Return exactly that range, to the end if ``length`` is None. ObjectNotFound; ShortRead."""

    async def get_into(self, key: str, buffer: bytearray | memoryview, *, offset: int = 0) -> None:
        """Fill ``buffer`` from ``offset`` on; undefined after an error. ObjectNotFound; ShortRead."""

    async def head(self, key: str) -> ObjectInfo:
        """Return the key and size. ObjectNotFound."""

    async def delete(self, key: str) -> None:
        """Remove ``key``; removing an absent key succeeds."""

    async def delete_many(self, keys: Sequence[str]) -> None:
        """Remove ``keys``, absent ones too, in as few requests as it takes. After an error any may be left."""

    def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """Yield each object once, in no promised order; objects written meanwhile may be missed."""

    async def aclose(self) -> None:
        """Release connections and threads; may be called twice."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """What a write to ``key`` has put somewhere and not finished; ``name`` is the driver's for it.

    Where nobody can tell the key it is empty, and the writer is certainly dead.
    """

    name: str
    key: str
    size_bytes: int


@runtime_checkable
class SweepsOrphans(Protocol):
    """What a driver offers beside ``Target`` if writes that broke off leave something that no listing shows."""

    def leavings(self, prefix: str) -> AsyncIterator[Leaving]:
        """Yield what unfinished writes below ``prefix`` have left. They may be under way: only the caller can know."""

    async def remove_leavings(self, leavings: Sequence[Leaving]) -> None:
        """Remove leavings; those that are gone, or have become an object, do no harm. Such a write fails for good."""


@runtime_checkable
class LocksObjects(Protocol):
    """What a driver offers beside ``Target`` if what it stores may be locked: then nobody can delete it for a time."""

    @property
    def lock_s(self) -> float | None:
        """How long each object is locked from when it is put; None when it is not."""

    async def lock(self, keys: Sequence[str]) -> None:
        """Lock objects from now on as if they were put now. Absent ones, and those locked for longer, stay so."""

    async def locked(self, keys: Sequence[str]) -> set[str]:
        """Return those of ``keys`` that cannot be deleted yet."""


def flat_view(body: Body) -> memoryview:
    """Return the bytes of ``body`` without a copy; release it, so that the caller may resize its buffer."""
    view = memoryview(body)
    return view if view.format == "B" and view.ndim == 1 else view.cast("B")


def check_range(key: str, *, offset: int, length: int | None) -> None:
    """Raise ValueError for a range that makes no sense for any object."""
    if offset < 0 or (length is not None and length < 0):
        raise ValueError(f"range of {key}: offset {offset} and length {length} must not be negative")


def range_end(key: str, size_bytes: int, *, offset: int, length: int | None) -> int:
    """Return where a range of an object ends. ShortRead if the object ends before; ValueError if negative."""
    check_range(key, offset=offset, length=length)
    end = max(size_bytes, offset) if length is None else offset + length
    if end > size_bytes:
        raise ShortRead(f"{key}: expected bytes up to {end}, the object has {size_bytes}")
    return end


async def exists(target: Target, key: str) -> bool:
    """Tell whether the object is there."""
    try:
        await target.head(key)
    except ObjectNotFound:
        return False
    return True


@asynccontextmanager
async def closing(listing: AsyncIterator[T]) -> AsyncIterator[AsyncIterator[T]]:
    """Close ``listing`` at the end, if it can be, so that nothing which it holds open outlives its reader."""
    try:
        yield listing
    finally:
        if isinstance(listing, AsyncGenerator):
            await listing.aclose()
