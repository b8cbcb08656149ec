"""P3: each bit of each object of a tiny repository is flipped once: by scrub, verification and restore it is found."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import NamedTuple

import pytest

from backupd.errors import BackupdError
from backupd.jobs.failure import causes
from backupd.pipeline.inspection import inspect
from backupd.repository import layout
from backupd.repository.keyring import Keyring
from backupd.repository.manifest import Manifest
from backupd.repository.repository import Repository, read_description
from chunker.errors import ChunkerError
from chunker.extents import Extent
from chunker.sources.memory import MemoryVolume
from targets.base import Target
from targets.memory import MemoryTarget
from tests.support.rig import Rig, rig
from tests.support.volumes import guest_like_bytes, random_bytes

CONTENT = random_bytes(3)
MASTER_KEY = bytes(range(32))
FOOTER_BYTES = 84  # Of a pack with one frame.
KEYRING = Keyring([MASTER_KEY], origin="test")


class Flip(NamedTuple):
    key: str
    at: int
    bit: int
    body: bytes


class Discard:
    """A destination that remembers what was written, and whether that became a result."""

    def __init__(self, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.content = bytearray(size_bytes)
        self.is_finished = False

    def write(self, offset_bytes: int, buffer: memoryview) -> None:
        self.content[offset_bytes : offset_bytes + len(buffer)] = buffer

    def zero(self, extent: Extent) -> None:
        self.content[extent.offset_bytes : extent.end_bytes] = bytes(extent.length_bytes)

    def finish(self) -> None:
        self.is_finished = True

    def abort(self) -> None:
        self.is_finished = False


class Tiny:
    """A repository with one backup, and its objects."""

    def __init__(self, made: Rig, manifest: Manifest, objects: dict[str, bytes]) -> None:
        self.rig = made
        self.manifest = manifest
        self.objects = objects
        self.written = Discard(0)

    async def verify(self, repository: Repository, manifest: Manifest) -> None:
        self.rig.repository = repository
        await self.rig.verify(manifest)

    async def restore(self, repository: Repository, manifest: Manifest) -> None:
        """Restore to ``written``."""
        self.written = Discard(manifest.size_bytes)
        self.rig.repository = repository
        await self.rig.restore_to(manifest, self.written)

    def flips(self) -> Iterator[Flip]:
        for key, body in self.objects.items():
            for at in range(len(body)):
                for bit in range(8):
                    yield Flip(key, at, bit, flipped(body, at, bit))

    async def told(self, flip: Flip, read: Callable[[Repository, Manifest], Awaitable[None]]) -> str:
        """Return what a reader complains, "" if nothing, of a repository in which a bit is flipped."""
        target = self.rig.target
        await target.put(flip.key, flip.body)
        try:
            keys = read_description(await target.get(layout.REPOSITORY), KEYRING, is_encrypted=True)
            repository = Repository(target, keys)
            manifest = await repository.manifest(self.manifest.backup_id)
            assert manifest is not None
            await read(repository, manifest)
        except (BackupdError, ChunkerError, ExceptionGroup) as error:
            return str(next(iter(causes(error))))
        finally:
            await target.put(flip.key, self.objects[flip.key])
        return ""


def volume_of(content: bytes) -> MemoryVolume:
    volume = MemoryVolume(len(content))
    volume.write(0, content)
    return volume


def flipped(body: bytes, at: int, bit: int) -> bytes:
    return body[:at] + bytes([body[at] ^ 1 << bit]) + body[at + 1 :]


async def objects_of(target: Target) -> dict[str, bytes]:
    return {info.key: await target.get(info.key) async for info in target.list("")}


@pytest.fixture
async def tiny() -> AsyncIterator[Tiny]:
    async with rig(target=MemoryTarget(), master_keys=[MASTER_KEY]) as made:
        manifest, _ = await made.back_up(volume_of(CONTENT).open())
        yield Tiny(made, manifest, await objects_of(made.target))


def is_found_by_scrub(flip: Flip, repository: Repository | None) -> bool:
    """Tell whether a scrub finds it; the scrub job opens ``repository.json`` besides."""
    if inspect(flip.key, memoryview(flip.body), repository):
        return True
    if flip.key != layout.REPOSITORY or repository is None:
        return False
    try:
        read_description(flip.body, KEYRING, is_encrypted=True)
    except (BackupdError, ChunkerError):
        return True
    return False


async def test_p3_tell_scrub_finds_every_flipped_bit(tiny: Tiny) -> None:
    silent = [flip for flip in tiny.flips() if not is_found_by_scrub(flip, tiny.rig.repository)]
    assert silent == []


async def test_p3_tell_scrub_without_keys_finds_every_flipped_bit_of_packs(tiny: Tiny) -> None:
    silent = {(flip.key, flip.at) for flip in tiny.flips() if not is_found_by_scrub(flip, None)}
    # The id before a manifest's frame, and what repository.json seals, are what only keys can tell.
    manifest = layout.manifest(tiny.manifest.backup_id)
    assert {at for key, at in silent if key == manifest} == set(range(24, 56))
    assert {key for key, _ in silent} == {manifest, layout.REPOSITORY}


async def test_p3_tell_verification_finds_every_flipped_bit(tiny: Tiny) -> None:
    silent = [flip for flip in tiny.flips() if flip.key not in await tiny.told(flip, tiny.verify)]
    assert silent == []


async def test_p3_tell_restore_finds_every_flipped_bit_that_it_reads(tiny: Tiny) -> None:
    """Footers of packs are what a restore does not read."""
    wrong = []
    for flip in tiny.flips():
        tiny.written = Discard(0)
        told = await tiny.told(flip, tiny.restore)
        is_footer = flip.key.startswith(layout.PACKS) and flip.at >= len(flip.body) - FOOTER_BYTES
        is_named = flip.key in told and not tiny.written.is_finished
        is_unharmed = not told and is_footer and tiny.written.content == CONTENT
        if not (is_named or is_unharmed):
            wrong.append((flip, told))
    assert wrong == []


async def test_p3_tell_scrub_finds_flipped_bits_of_a_larger_repository() -> None:
    chance = random.Random(5)
    async with rig(target=MemoryTarget(), is_encrypted=False) as made:
        await made.back_up(volume_of(guest_like_bytes(2 * 1024 * 1024)).open())
        objects = await objects_of(made.target)
        for _ in range(300):
            key = chance.choice([*objects])
            at = chance.randrange(len(objects[key]))
            flip = Flip(key, at, 0, flipped(objects[key], at, chance.randrange(8)))
            if key != layout.REPOSITORY:
                assert is_found_by_scrub(flip, made.repository), (key, at)


async def test_p3_tell_verification_and_restore_find_flipped_bits_of_a_larger_repository() -> None:
    chance = random.Random(6)
    async with rig(target=MemoryTarget(), master_keys=[MASTER_KEY]) as made:
        content = guest_like_bytes(2 * 1024 * 1024)
        manifest, _ = await made.back_up(volume_of(content).open())
        larger = Tiny(made, manifest, await objects_of(made.target))
        for _ in range(60):
            key = chance.choice([*larger.objects])
            body = larger.objects[key]
            at, bit = chance.randrange(len(body) * 9 // 10), chance.randrange(8)  # In no footer.
            flip = Flip(key, at, bit, flipped(body, at, bit))
            assert key in await larger.told(flip, larger.verify)
            assert key in await larger.told(flip, larger.restore)
            assert not larger.written.is_finished
