"""What differs between two snapshots of an image, and where one of them has data.

Two ways of asking are joined. With fast-diff the cluster answers for whole objects at once, from its map of
objects. Without, it looks at each object and answers to the byte. So the map is asked first, and then only the
objects that it names are looked at.

What librbd has got wrong so far decides how the map is asked. Always about the whole image: it told wrong offsets
for a part of an object (ceph/ceph#44483), and extents out of order (#45601), which ``clip`` puts right. And never
across a snapshot of a time when the image was smaller: what was cut off and added again is missing then, as
``tests/integration/sources`` shows with 16.2.15.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator

import rbd

from chunker.extents import Extent, between, clip
from chunker.sources.gathered import gather
from chunker.sources.rbd.snapshots import Snapshot

_EXACT_BYTES = 1024**3  # Asked about to the byte at once: at most so many answers are in memory.
_WINDOW_BYTES = 16 * 1024**3
_WINDOWS_MAX = 4


def has_fast_diff(image: rbd.Image) -> bool:
    """Tell whether the map of objects of this image or snapshot can be asked, and is valid."""
    invalid = rbd.RBD_FLAG_OBJECT_MAP_INVALID | rbd.RBD_FLAG_FAST_DIFF_INVALID
    return bool(image.features() & rbd.RBD_FEATURE_FAST_DIFF) and not image.flags() & invalid


def changed(
    image: rbd.Image, since: Snapshot, until: Snapshot, *, size_bytes: int, is_fast: bool
) -> tuple[Extent, ...]:
    """Return what was written or discarded between two snapshots, the later of which is open. What rbd raises."""
    whole = (Extent(0, size_bytes),)
    is_fast = is_fast and not _was_smaller(image, since, until)
    touched = _asked(image, since.name, whole[0], whole_object=True) if is_fast else whole
    parts = (part for extent in touched for part in _cut(extent))
    return gather(extent for part in parts for extent in _asked(image, since.name, part, whole_object=False))


def _cut(extent: Extent) -> Iterator[Extent]:
    position = extent.offset_bytes
    while position < extent.end_bytes:
        end = min((position // _EXACT_BYTES + 1) * _EXACT_BYTES, extent.end_bytes)
        yield between(position, end)
        position = end


def _was_smaller(image: rbd.Image, since: Snapshot, until: Snapshot) -> bool:
    """Tell whether a snapshot between the two, whoever made it, is of a smaller image than both."""
    sizes = {one["id"]: one["size"] for one in image.list_snaps() if since.id <= one["id"] <= until.id}
    return any(size < min(sizes[since.id], sizes[until.id]) for size in sizes.values())


class DataMap:
    """Where a snapshot has data of its own or of what it was cloned from. Thread-safe.

    What was asked once is kept: with fast-diff the map of all objects, else the windows that were used last.
    """

    def __init__(self, image: rbd.Image, *, size_bytes: int, is_fast: bool) -> None:
        self._image = image
        self._size_bytes = size_bytes
        self._is_fast = is_fast
        self._window_bytes = max(size_bytes, 1) if is_fast else _WINDOW_BYTES
        self._windows: OrderedDict[int, tuple[Extent, ...]] = OrderedDict()
        self._lock = threading.Lock()

    def within(self, extent: Extent) -> Iterator[Extent]:
        """Yield the data in ``extent``, ascending. What rbd raises."""
        end = min(extent.end_bytes, self._size_bytes)
        position = extent.offset_bytes
        while position < end:
            number = position // self._window_bytes
            stop = min((number + 1) * self._window_bytes, end)
            yield from clip(self._window(number), between(position, stop))
            position = stop

    def _window(self, number: int) -> tuple[Extent, ...]:
        with self._lock:
            if number not in self._windows:
                start = number * self._window_bytes
                window = between(start, min(start + self._window_bytes, self._size_bytes))
                self._windows[number] = _asked(self._image, None, window, whole_object=self._is_fast, with_holes=False)
                while len(self._windows) > _WINDOWS_MAX:
                    self._windows.popitem(last=False)
            self._windows.move_to_end(number)
            return self._windows[number]


def _asked(
    image: rbd.Image, since: str | None, within: Extent, *, whole_object: bool, with_holes: bool = True
) -> tuple[Extent, ...]:
    found: list[Extent] = []

    def add(offset_bytes: int, length_bytes: int, exists: bool) -> None:  # noqa: FBT001 - a callback
        if not exists and not with_holes:
            return
        if found and found[-1].end_bytes == offset_bytes:
            found[-1] = between(found[-1].offset_bytes, offset_bytes + length_bytes)
        else:
            found.append(Extent(offset_bytes, length_bytes))

    if within.length_bytes:
        image.diff_iterate(
            within.offset_bytes, within.length_bytes, since, add, include_parent=True, whole_object=whole_object
        )
    return clip(found, within)
