"""Packs that were just stored, read back and checked to the last byte, as far as a budget goes."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from backupd.errors import CorruptObject
from backupd.pipeline.budget import ByteBudget
from backupd.pipeline.fetch import named
from backupd.pipeline.workers import Workers
from backupd.repository import layout
from backupd.repository.ranges import Range
from backupd.repository.repository import Repository
from chunker import frame, pack
from chunker.errors import CorruptFrame, CorruptPack, UnknownFormat
from chunker.frame import FrameReader
from chunker.node import Pointer


async def read_back(
    repository: Repository,
    pack_ids: Sequence[bytes],
    *,
    bytes_max: int,
    workers: Workers,
    budget: ByteBudget,
    random: Random,
) -> int:
    """Check packs in random order until ``bytes_max`` were read, and return how many bytes that is.

    CorruptObject names a pack that is lost or does not hold what it says.
    """
    read_bytes = 0
    for pack_id in random.sample(pack_ids, len(pack_ids)):
        if read_bytes >= bytes_max:
            break
        size_bytes = await repository.pack_size(pack_id)
        async with budget.lend(size_bytes) as body:
            await repository.fetch(Range(pack_id, 0, size_bytes, []), body)
            await workers.run(_check, repository, pack_id, body)
        read_bytes += size_bytes
    return read_bytes


def _check(repository: Repository, pack_id: bytes, body: memoryview) -> None:
    reader = FrameReader(repository.keys)
    try:
        entries = pack.read_footer(pack_id, len(body), body)
    except CorruptPack as error:
        raise CorruptObject(f"{layout.pack(pack_id)}: {error}", pack_id=pack_id) from error
    for entry in entries:
        stored = body[entry.offset : entry.offset + entry.length]
        try:
            reader.verify(entry.kind, entry.id, stored, frame.plain_size(stored))
        except (CorruptFrame, UnknownFormat) as error:
            raise named(Pointer(entry.id, pack_id, entry.offset, entry.length), error) from error
