"""The snapshots that we make of an image, told from everybody else's by their names."""

from __future__ import annotations

import re
import threading
import uuid
from typing import NamedTuple

import rbd

from chunker.sources.rbd.cluster import is_missing

# Each crash in the middle of a backup leaves one behind, and the next commit removes it. Where none ever comes,
# this many stay.
_LEFT_BEHIND_MAX = 16


class Snapshot(NamedTuple):
    """A snapshot of ours. Its id is never given twice, and its name is that of no other one."""

    id: int
    name: str

    @property
    def token(self) -> str:
        """What finds it again."""
        return f"{self.id}:{self.name}"


class Snapshots:
    """Makes, finds and removes the snapshots that have our prefix. Thread-safe.

    One that is being read by this process is never removed by another backup of the same image.
    """

    def __init__(self, prefix: str, *, kept: int) -> None:
        self._prefix = prefix
        self._kept = kept
        self._ours = re.compile(rf"{re.escape(prefix)}\.[0-9a-f]{{32}}")
        self._read_now: set[str] = set()
        self._lock = threading.Lock()

    def take(self, image: rbd.Image) -> Snapshot:
        """Freeze the image as it is now, and hold the snapshot until ``release``. What rbd raises."""
        name = f"{self._prefix}.{uuid.uuid4().hex}"
        with self._lock:
            self._read_now.add(name)
        try:
            image.create_snap(name)
            return next(one for one in self.all(image) if one.name == name)
        except BaseException:
            self.release(name)
            raise

    def release(self, name: str) -> None:
        """Let a snapshot be removed once something newer is committed."""
        with self._lock:
            self._read_now.discard(name)

    def all(self, image: rbd.Image) -> list[Snapshot]:
        """Return ours, the oldest first. What rbd raises."""
        ours = (Snapshot(one["id"], one["name"]) for one in image.list_snaps() if self._ours.fullmatch(one["name"]))
        return sorted(ours)

    def find(self, image: rbd.Image, token: str) -> Snapshot | None:
        """Return the one that a token is of, if it still exists. What rbd raises."""
        return next((one for one in self.all(image) if one.token == token), None)

    def prune(self, image: rbd.Image, newest: Snapshot) -> None:
        """Remove those that ``newest``, which was committed, makes useless. What rbd raises."""
        older = [one for one in self.all(image) if one.id < newest.id]
        for one in older[: len(older) - (self._kept - 1)]:
            self._remove_unused(image, one)

    def bound(self, image: rbd.Image) -> None:
        """Remove the oldest when crashes have left very many. What rbd raises."""
        for one in self.all(image)[:-_LEFT_BEHIND_MAX]:
            self._remove_unused(image, one)

    def remove(self, image: rbd.Image, snapshot: Snapshot) -> None:
        """Remove one, which may be gone already. What rbd raises."""
        try:
            image.remove_snap(snapshot.name)
        except rbd.OSError as error:
            if not is_missing(error):
                raise

    def _remove_unused(self, image: rbd.Image, snapshot: Snapshot) -> None:
        with self._lock:
            if snapshot.name in self._read_now:
                return
        # Somebody has cloned it: now it is theirs.
        if not image.is_protected_snap(snapshot.name):
            self.remove(image, snapshot)
