"""Who goes: what marks say about packs and forwards -> what is condemned, and what of it stays after all."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto

from backupd.collection import Condemned, CondemnedKind, Reason
from backupd.pipeline.marks import MarkedPack, Marks


class Fate(Enum):
    """What becomes of something that was condemned."""

    REPRIEVED = auto()
    DELETED = auto()
    COMPACTED = auto()


def first_judgement(packs: Iterable[MarkedPack], *, live_share_min: float) -> list[Condemned]:
    """Return those of some packs that are to be condemned."""
    judged = ((pack, _reason(pack, live_share_min)) for pack in packs)
    return [Condemned(CondemnedKind.PACK, one.id, why, one.size_bytes) for one, why in judged if why is not None]


def _reason(pack: MarkedPack, live_share_min: float) -> Reason | None:
    if pack.is_in_use:
        return None
    if pack.live_bytes == 0:
        return Reason.ORPHAN if pack.is_abandoned else Reason.DEAD
    return Reason.MOSTLY_DEAD if _is_mostly_dead(pack, live_share_min) else None


def last_judgement(one: Condemned, marks: Marks, *, live_share_min: float) -> Fate:
    """Return what becomes of something condemned, once nobody who does not know of it can need it. Blocks."""
    if one.kind is CondemnedKind.FORWARD:
        return Fate.REPRIEVED if marks.is_needed(one.pack_id) else Fate.DELETED
    pack = marks.pack(one.pack_id)
    if pack is None or pack.live_bytes == 0:
        return Fate.DELETED
    if one.is_going:
        return Fate.COMPACTED  # It may be half done.
    is_to_move = one.reason is Reason.MOSTLY_DEAD and _is_mostly_dead(pack, live_share_min)
    return Fate.COMPACTED if is_to_move else Fate.REPRIEVED


def _is_mostly_dead(pack: MarkedPack, live_share_min: float) -> bool:
    return pack.live_bytes < live_share_min * pack.size_bytes
