"""P3: each byte of a small repository is garbled once, and no damage passes for data."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from backupd.jobs.failure import failure_of
from backupd.pipeline.workers import Workers
from chunker import pack
from chunker.pack import PackWriter
from targets.memory import MemoryTarget
from tests.support.api import CHUNK_SIZE_BYTES
from tests.support.crashes import resumed
from tests.support.daemon import Place
from tests.support.repositories import open_existing, restore, verify, working
from tests.support.volumes import random_bytes

SHARES = 2
CONTENT = b"text " * (CHUNK_SIZE_BYTES // 5 + 1) + random_bytes(100)
FOOTER_MAGIC = b"BKDPACK"


class Stored:
    """One backup as objects in memory, one of which may be garbled."""

    def __init__(self, place: Place, backup_id: str, *, is_encrypted: bool) -> None:
        self._key_file = place.root / "state" / "master.key"
        self._backup_id = backup_id
        self._is_encrypted = is_encrypted
        # Who writes here is nothing that a backup consists of.
        keys = [key for key in place.objects("**") if "writers/" not in key]
        self.objects = {key: (place.target / key).read_bytes() for key in keys}

    async def read(self, key: str, body: bytes, workers: Workers, path: Path | None = None) -> str:
        """Verify, or restore to ``path``, with another body below a key; return what is complained, "" if nothing."""
        target = MemoryTarget()
        for name, original in self.objects.items():
            await target.put(name, body if name == key else original)
        try:
            repository = await open_existing(target, self._key_file, is_encrypted=self._is_encrypted)
            manifest = await repository.manifest(self._backup_id)
            assert manifest is not None
            await (restore(repository, manifest, workers, path) if path else verify(repository, manifest, workers))
        except Exception as error:  # noqa: BLE001 - what a job of the daemon tells its owner
            return failure_of(error).message
        return ""

    def name(self, key: str) -> str:
        """Return the key as it is inside of the repository."""
        return key.split("/", 2)[2]


@pytest.fixture(params=[True, False], ids=["encrypted", "plain"])
async def stored(tmp_path: Path, request: pytest.FixtureRequest) -> Stored:
    place = Place(tmp_path)
    (place.sources / "disk").write_bytes(CONTENT)
    async with resumed(place) as api:
        await api.add_volume(place.sources / "disk", is_encrypted=request.param)
        backup = await api.back_up("disk")
    return Stored(place, backup["id"], is_encrypted=request.param)


def garbled(body: bytes, at: int, chance: random.Random) -> bytes:
    return body[:at] + bytes([body[at] ^ 1 << chance.randrange(8)]) + body[at + 1 :]


def damages(stored: Stored, share: int) -> Iterator[tuple[str, int, bytes]]:
    """Yield key, place and body for each byte of each object, one random bit of it flipped."""
    for key, body in sorted(stored.objects.items()):
        chance = random.Random(f"{share} {len(body)}")
        for at in range(share, len(body), SHARES):
            yield key, at, garbled(body, at, chance)


@pytest.mark.parametrize("share", range(SHARES))
async def test_p3_tell_verification_names_the_object_of_any_garbled_byte(stored: Stored, share: int) -> None:
    silent = []
    async with working() as workers:
        for key, at, body in damages(stored, share):
            told = await stored.read(key, body, workers)
            if stored.name(key) not in told:
                silent.append((stored.name(key), at, told))
    assert silent == []


@pytest.mark.parametrize("share", range(SHARES))
async def test_p3_tell_a_restore_never_writes_what_was_garbled(stored: Stored, tmp_path: Path, share: int) -> None:
    wrong = []
    path = tmp_path / "out" / "disk"
    path.parent.mkdir()
    async with working() as workers:
        for key, at, body in damages(stored, share):
            told = await stored.read(key, body, workers, path)
            if told:
                is_right = stored.name(key) in told
            else:  # A restore does not read the footers of packs.
                is_right = FOOTER_MAGIC in stored.objects[key] and path.read_bytes() == CONTENT
                path.unlink()
            if not is_right or list(path.parent.iterdir()):
                wrong.append((stored.name(key), at, told))
    assert wrong == []


def listing_another_frame(body: bytes) -> bytes:
    """Return a pack of the same frames, whose footer is right in itself but gives the first one another id."""
    pack_id = body[-32:-16]  # Behind it two numbers of 4 bytes and the checksum.
    writer = PackWriter(pack_id, memoryview(bytearray(len(body))))
    for entry in pack.read_footer(pack_id, len(body), memoryview(body)):
        writer.append(entry.kind, entry.id, memoryview(body[entry.offset : entry.offset + entry.length]))
    writer.entries[0] = writer.entries[0]._replace(id=bytes(32))
    return bytes(writer.seal())


async def test_p3_tell_a_footer_that_lists_another_frame_than_the_backup_needs(stored: Stored) -> None:
    packs = [key for key in stored.objects if "/packs/" in key]
    assert len(packs) == 2  # One of chunks and one of nodes.
    async with working() as workers:
        for key in packs:
            told = await stored.read(key, listing_another_frame(stored.objects[key]), workers)
            assert re.match(f"{stored.name(key)}: its footer does not list frame [0-9a-f]{{64}} at offset 0", told)


async def test_p3_tell_each_object_that_is_cut_short(stored: Stored) -> None:
    async with working() as workers:
        for key, body in stored.objects.items():
            for length in (0, 1, len(body) // 2, len(body) - 1):
                assert stored.name(key) in await stored.read(key, body[:length], workers)


async def test_p3_tell_each_object_that_took_the_place_of_another(stored: Stored) -> None:
    async with working() as workers:
        for key in stored.objects:
            for other in stored.objects.keys() - {key}:
                assert stored.name(key) in await stored.read(key, stored.objects[other], workers)
