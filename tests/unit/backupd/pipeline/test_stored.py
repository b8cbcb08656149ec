from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from backupd.pipeline.stored import StoredChunks
from backupd.pipeline.workers import Workers
from backupd.repository.index import ChunkIndex
from chunker.digest import Kind
from chunker.node import Pointer
from chunker.pack import PackEntry
from targets.errors import Unavailable
from targets.memory import MemoryTarget
from targets.wrappers.faults import Fault, Faults
from tests.support.rig import Rig, pack_ids, rig

BODY = memoryview(b"a pack")


def pack_of(*names: str) -> tuple[bytes, list[PackEntry], list[Pointer]]:
    """Return a pack id, its entries and the pointers to its chunks."""
    pack_id = names[0].encode().ljust(16)
    entries = [PackEntry(name.encode().ljust(32), n * 100, 100, Kind.CHUNK) for n, name in enumerate(names)]
    return pack_id, entries, [Pointer(entry.id, pack_id, entry.offset, entry.length) for entry in entries]


@pytest.fixture
async def made() -> AsyncIterator[Rig]:
    async with rig() as made:
        yield made


@pytest.fixture
async def indexed(tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig(index_path=tmp_path / "index.db") as made:
        yield made


def stored_chunks(made: Rig) -> StoredChunks:
    return StoredChunks(made.repository, made.workers, made.index, pack_ids())


def found(stored: StoredChunks, pointers: Sequence[Pointer]) -> list[Pointer]:
    return list(stored.find([pointer.id for pointer in pointers]).values())


async def test_what_was_put_in_a_pack_is_found_before_the_pack_is_stored(made: Rig) -> None:
    stored, (_, _, pointers) = stored_chunks(made), pack_of("a", "b")
    stored.expect(pointers[0])
    assert found(stored, pointers) == pointers[:1]
    assert (stored.pending(pointers[0].id), stored.pending(pointers[1].id)) == (pointers[0], None)


async def test_others_find_a_chunk_only_once_its_pack_is_stored(indexed: Rig) -> None:
    ours, theirs = stored_chunks(indexed), stored_chunks(indexed)
    pack_id, entries, pointers = pack_of("a", "b")
    for pointer in pointers:
        ours.expect(pointer)
    assert found(theirs, pointers) == []
    await ours.store(pack_id, BODY, entries)
    assert found(theirs, pointers) == pointers


async def test_a_pack_that_was_not_stored_is_in_no_index(tmp_path: Path) -> None:
    down = [Fault(operation="put", matches=lambda _, key: key.startswith("packs/"))]
    target = Faults(MemoryTarget(), down)
    pack_id, entries, pointers = pack_of("a")
    async with rig(target=target, index_path=tmp_path / "index.db") as made:
        with pytest.raises(Unavailable):
            await stored_chunks(made).store(pack_id, BODY, entries)
        assert found(stored_chunks(made), pointers) == []


async def test_without_an_index_a_backup_forgets_after_a_few_packs(made: Rig) -> None:
    stored, first = stored_chunks(made), pack_of("a")[2]
    for name in "abcdefgh":
        pack_id, entries, pointers = pack_of(name)
        stored.expect(pointers[0])
        await stored.store(pack_id, BODY, entries)
    assert found(stored, first) == []
    assert len(stored._pending) == 4


async def test_with_an_index_nothing_is_forgotten(indexed: Rig) -> None:
    stored, first = stored_chunks(indexed), pack_of("a")[2]
    for name in "abcdefgh":
        pack_id, entries, pointers = pack_of(name)
        stored.expect(pointers[0])
        await stored.store(pack_id, BODY, entries)
    assert found(stored, first) == first


async def test_the_index_is_asked_only_for_what_is_not_pending(tmp_path: Path) -> None:
    index = ChunkIndex(tmp_path / "index.db")
    index.close()  # Asking it would fail.
    pointers = pack_of("a", "b")[2]
    async with rig() as made:
        stored = StoredChunks(made.repository, Workers(1), index, pack_ids())
        for pointer in pointers:
            stored.expect(pointer)
        assert found(stored, pointers) == pointers
