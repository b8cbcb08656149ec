"""What an incremental has to read. Pure, but for asking the source."""

from __future__ import annotations

from dataclasses import dataclass

from backupd.repository.manifest import Manifest
from chunker.extents import Extent, merge
from chunker.sources.base import ParentPoint, PointInTime
from chunker.tree import Tree


@dataclass(frozen=True, slots=True)
class Reading:
    """What to read, and the tree that it goes on top of. ``full_read_reason``: why tracking was not used."""

    extents: tuple[Extent, ...]
    base: Tree
    full_read_reason: str | None = None


EMPTY_TREE = Tree(None, 1)


def everything(point: PointInTime) -> Reading:
    """Read the whole volume and share no node with an earlier backup."""
    return Reading((Extent(0, point.size_bytes),), EMPTY_TREE)


def since(parent: Manifest, point: PointInTime) -> Reading:
    """Read what changed since ``parent``, or everything when the source cannot tell. Blocks.

    Even then the parent's tree is the base: chunks that turn out equal are neither stored nor written down again.
    """
    changes = point.changed_since(
        ParentPoint(token=parent.source_token, identity=parent.source_identity, size_bytes=parent.size_bytes)
    )
    if changes.extents is None:
        return Reading((Extent(0, point.size_bytes),), parent.tree, changes.reason)
    extents = changes.extents
    if point.size_bytes != parent.size_bytes:
        extents = merge((*extents, *_resized(parent, point.size_bytes)))
    return Reading(extents, parent.tree)


def _resized(parent: Manifest, size_bytes: int) -> tuple[Extent, ...]:
    """Return what a change of size alone makes necessary: the tail that was added, and short last chunks."""
    chunk_size = parent.chunk_size_bytes
    start = min(parent.size_bytes, size_bytes) // chunk_size * chunk_size
    return (Extent(start, size_bytes - start),) if start < size_bytes else ()
