"""Following forwards: from a pack that was compacted away to where its frames are now."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

from backupd.errors import CorruptObject
from backupd.repository import forward, layout
from backupd.repository.forward import Forward
from backupd.repository.ranges import Range
from chunker.errors import UnknownFormat
from chunker.node import Pointer
from targets.base import Target
from targets.errors import ObjectNotFound

HOPS_MAX = 64
_REMEMBERED = 64


class Forwards:
    """Knows the forwards used last. One that lacks a frame is read anew, for it may have got more."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._known: OrderedDict[bytes, Forward] = OrderedDict()

    async def load(self, pack_id: bytes) -> Forward | None:
        """Return the forward of a pack as it is stored now; None when there is none. CorruptObject names it."""
        key = layout.forward(pack_id)
        try:
            found = forward.decode(pack_id, await self._target.get(key))
        except ObjectNotFound:
            return None
        except (CorruptObject, UnknownFormat) as error:
            raise type(error)(f"{key}: {error}") from error
        self._known[pack_id] = found
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return found

    async def moved(self, pointer: Pointer) -> Pointer | None:
        """Return where a frame went in one step; the pack there may be gone in its turn."""
        found = self._known.get(pointer.pack)
        if found is None or pointer.offset not in found:
            found = await self.load(pointer.pack)
        place = found.get(pointer.offset) if found is not None else None
        if place is None or place.length != pointer.length:
            return None
        return Pointer(pointer.id, *place)

    async def pieces(self, wanted: Range, *, hops: int = HOPS_MAX) -> list[tuple[Range, int]]:
        """Return which ranges have what was asked for of a pack that is gone, and where in the answer each belongs.

        Nothing when it is not known where one of the frames went. CorruptObject for forwards that go round in a
        circle, which this cannot see but by going on for too long: ``Range.hops`` counts.
        """
        if wanted.hops >= hops:
            raise CorruptObject(f"{layout.forward(wanted.pack)}: the forwards that lead here never end")
        moved: list[tuple[int, Pointer]] = []
        for pointer in sorted(wanted.pointers, key=lambda one: one.offset):
            if (now := await self.moved(pointer)) is None:
                return []
            moved.append((pointer.offset - wanted.offset, now))
        return [_joined(run, wanted.hops + 1) for run in _runs(moved)]


def _runs(moved: list[tuple[int, Pointer]]) -> list[list[tuple[int, Pointer]]]:
    """Cut where two neighbours do not lie as far apart as they did before."""
    runs = [moved[:1]] if moved else []
    for (before, last), (start, pointer) in pairwise(moved):
        if pointer.pack == last.pack and pointer.offset - last.offset == start - before:
            runs[-1].append((start, pointer))
        else:
            runs.append([(start, pointer)])
    return runs


def _joined(run: list[tuple[int, Pointer]], hops: int) -> tuple[Range, int]:
    start, first = run[0]
    last = run[-1][1]
    length = last.offset + last.length - first.offset
    return Range(first.pack, first.offset, length, [pointer for _, pointer in run], hops), start
