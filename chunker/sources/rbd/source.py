"""An image of a Ceph cluster as a source: each point in time is a snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, suppress

import rbd

from chunker.errors import SourceChanged, SourceTooShort
from chunker.extents import Extent, between, clip
from chunker.sources.base import Changes, ParentPoint
from chunker.sources.rbd.cluster import Cluster, is_missing, translated
from chunker.sources.rbd.differences import DataMap, changed, has_fast_diff
from chunker.sources.rbd.place import Place
from chunker.sources.rbd.snapshots import Snapshot, Snapshots


class RbdSource:
    """An image of a cluster; it may be in use. Connects anew for each point in time."""

    def __init__(
        self,
        place: Place,
        *,
        conf: str,
        user: str,
        keyring: str | None,
        timeout_s: float,
        snapshots: Snapshots,
        fast_diff: bool,
    ) -> None:
        self.place = place
        self._conf = conf
        self._user = user
        self._keyring = keyring
        self._timeout_s = timeout_s
        self._snapshots = snapshots
        self._fast_diff = fast_diff

    def open(self) -> RbdPoint:
        """Make a snapshot and open that. SourceMissing, SourceUnreadable."""
        with ExitStack() as opening:
            cluster = Cluster(
                self.place, conf=self._conf, user=self._user, keyring=self._keyring, timeout_s=self._timeout_s
            )
            opening.callback(cluster.close)
            with translated(self.place, "a snapshot cannot be made"):
                with cluster.image(writable=True) as image:
                    image_id = image.id()
                    self._snapshots.bound(image)
                    snapshot = self._snapshots.take(image)
                opening.callback(self._snapshots.release, snapshot.name)
            try:
                with translated(self.place, f"snapshot {snapshot.name} cannot be opened"):
                    image = cluster.image(image_id=image_id, snapshot=snapshot.name)
                opening.callback(image.close)
                with translated(self.place, f"snapshot {snapshot.name} cannot be read"):
                    return RbdPoint(
                        cluster,
                        image,
                        snapshot,
                        image_id=image_id,
                        snapshots=self._snapshots,
                        fast_diff=self._fast_diff,
                        closing=opening.pop_all(),
                    )
            except BaseException:
                # If that fails too, the next backup that succeeds removes it.
                with suppress(rbd.Error), cluster.image(image_id=image_id, writable=True) as image:
                    self._snapshots.remove(image, snapshot)
                raise


class RbdPoint:
    """A snapshot of an image."""

    def __init__(
        self,
        cluster: Cluster,
        image: rbd.Image,
        snapshot: Snapshot,
        *,
        image_id: str,
        snapshots: Snapshots,
        fast_diff: bool,
        closing: ExitStack,
    ) -> None:
        self._cluster = cluster
        self._place = cluster.place
        self._image = image
        self._snapshot = snapshot
        self._image_id = image_id
        self._snapshots = snapshots
        self._closing = closing
        self._is_ended = False
        self._is_fast = fast_diff and has_fast_diff(image)
        self.size_bytes: int = image.size()
        # The name may change hands, the id never does.
        self.identity = f"rbd:{cluster.fsid}:{cluster.pool_id}/{self._place.namespace}/{image_id}"
        self.token: str | None = snapshot.token
        self._data = DataMap(image, size_bytes=self.size_bytes, is_fast=self._is_fast)

    def changed_since(self, parent: ParentPoint) -> Changes:
        if parent.identity != self.identity:
            return Changes(None, f"{self._place} is now {self.identity}, the parent is of {parent.identity}")
        if parent.token is None:
            return Changes(None, "the parent has no token")
        with translated(self._place, "what changed cannot be told"):
            since = self._snapshots.find(self._image, parent.token)
            if since is None or since.id > self._snapshot.id:
                return Changes(None, f"{self._place} no longer has the snapshot of the parent, {parent.token[:100]}")
            extents = changed(self._image, since, self._snapshot, size_bytes=self.size_bytes, is_fast=self._is_fast)
        # What a larger image has more is zeros, which are no difference to the cluster.
        growth = between(parent.size_bytes, self.size_bytes)
        return Changes(clip((*extents, growth), Extent(0, self.size_bytes)))

    def data_extents(self, within: Extent) -> Iterator[Extent]:
        with translated(self._place, f"the data at byte {within.offset_bytes} cannot be told"):
            yield from self._data.within(within)

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        expected = buffer.nbytes
        if offset_bytes + expected > self.size_bytes:
            self._refuse_short_read(offset_bytes, expected, max(self.size_bytes - offset_bytes, 0))
        if expected:
            with translated(self._place, f"cannot be read at byte {offset_bytes}"):
                content = self._image.read(offset_bytes, expected)
            if len(content) != expected:
                self._refuse_short_read(offset_bytes, expected, len(content))
            buffer[:] = content

    def _refuse_short_read(self, offset_bytes: int, expected: int, got: int) -> None:
        raise SourceTooShort(f"{self._place} at byte {offset_bytes}: expected {expected} bytes, got {got}")

    def check(self) -> None:
        """SourceChanged unless the name still is that of the image, and the snapshot still exists.

        Of a snapshot that somebody has removed the cluster throws the data away while it is read.
        """
        with translated(self._place, "cannot be checked"):
            try:
                with self._cluster.image() as image:
                    image_id, has_snapshot = image.id(), self._snapshot in self._snapshots.all(image)
            except rbd.OSError as error:
                if not is_missing(error):
                    raise
                raise SourceChanged(f"{self._place} was removed or renamed while it was read") from error
        if image_id != self._image_id:
            raise SourceChanged(f"{self._place} is now the image {image_id}, it was {self._image_id}")
        if not has_snapshot:
            raise SourceChanged(f"{self._place}: snapshot {self._snapshot.name} was removed while it was read")

    def commit(self) -> None:
        """Remove the snapshots of ours that nothing is told from any more. SourceError."""
        self._end(prune=True)

    def rollback(self) -> None:
        """Remove the snapshot; that of the parent still has all that changed since. SourceError."""
        self._end(prune=False)

    def _end(self, *, prune: bool) -> None:
        """Do what the first ending says: a point that was committed stays so."""
        if self._is_ended:
            return
        with (
            translated(self._place, "old snapshots cannot be removed"),
            self._cluster.image(image_id=self._image_id, writable=True) as image,
        ):
            if prune:
                self._snapshots.prune(image, self._snapshot)
            else:
                self._snapshots.remove(image, self._snapshot)
        self._is_ended = True

    def close(self) -> None:
        with translated(self._place, "cannot be closed"):
            self._closing.close()
