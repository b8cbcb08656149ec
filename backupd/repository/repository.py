"""One repository on one target: packs, footers and manifests, each verified when it is read."""

from __future__ import annotations

from collections.abc import AsyncIterator

from backupd.errors import BackupdError, Conflict, CorruptObject, LostPack
from backupd.repository import description, layout, manifest
from backupd.repository.description import Description
from backupd.repository.forward import Forward
from backupd.repository.forwards import HOPS_MAX, Forwards
from backupd.repository.keyring import Keyring
from backupd.repository.manifest import Manifest
from backupd.repository.ranges import Range
from chunker import pack
from chunker.errors import CorruptPack, UnknownFormat
from chunker.frame import FrameWriter
from chunker.keys import RepositoryKeys
from chunker.node import Pointer
from chunker.pack import PackEntry
from targets.base import Target, exists
from targets.errors import ObjectExists, ObjectNotFound, ShortRead

_FOOTER_GUESS_BYTES = 16 * 1024
_MANIFEST_COMPRESSION_LEVEL = 3


class Repository:
    """What one project has on one target. ``target`` is already scoped to the repository's prefix."""

    def __init__(self, target: Target, opened: Description) -> None:
        self._opened = opened
        self._forwards = Forwards(target)
        self.target = target

    @property
    def keys(self) -> RepositoryKeys:
        """The keys that everything in it is sealed and named with."""
        return self._opened.keys

    @property
    def is_encrypted(self) -> bool:
        """Whether what is written to it is encrypted."""
        return self._opened.is_encrypted

    @property
    def description(self) -> Description:
        """What ``repository.json`` says."""
        return self._opened

    def through(self, target: Target) -> Repository:
        """Return the same repository, reached through a wrapper of its target."""
        return Repository(target, self._opened)

    async def put_pack(self, pack_id: bytes, body: memoryview) -> None:
        """Store a sealed pack; its id was drawn for it, so nobody else can have written that key."""
        await self.target.put(layout.pack(pack_id), body)

    async def has_pack(self, pack_id: bytes) -> bool:
        """Tell whether the pack is on the target, whole."""
        return await exists(self.target, layout.pack(pack_id))

    async def pack_size(self, pack_id: bytes) -> int:
        """Return the size of a pack; CorruptObject names it when it is lost."""
        key = layout.pack(pack_id)
        try:
            return (await self.target.head(key)).size_bytes
        except ObjectNotFound:
            raise _lost(pack_id) from None

    async def has_manifest(self, backup_id: str) -> bool:
        """Tell whether a backup is published here."""
        return await exists(self.target, layout.manifest(backup_id))

    async def fetch(self, wanted: Range, buffer: memoryview) -> None:
        """Fill ``buffer`` with a range of a pack; CorruptObject names the pack when the bytes are not there.

        Of a pack that was compacted away only the frames are filled in that were asked for.
        """
        key = layout.pack(wanted.pack)
        try:
            await self.target.get_into(key, buffer, offset=wanted.offset)
        except ObjectNotFound:
            await self._fetch_moved(wanted, buffer)
        except ShortRead as error:
            raise CorruptObject(f"{key} is cut short: {error}", pack_id=wanted.pack) from error

    async def _fetch_moved(self, wanted: Range, buffer: memoryview) -> None:
        pieces = await self._forwards.pieces(wanted)
        if not pieces:
            raise _lost(wanted.pack)
        for piece, start in pieces:
            await self.fetch(piece, buffer[start : start + piece.length])

    async def moved(self, pointer: Pointer) -> Pointer | None:
        """Return where the frame of a pack is that was compacted away; None when it is not known to have moved."""
        return await self._forwards.moved(pointer)

    async def located(self, pointer: Pointer) -> Pointer:
        """Return where a frame is now, however often it was moved; as it is, when its pack is there or lost."""
        for _ in range(HOPS_MAX):
            if await self.has_pack(pointer.pack) or (now := await self.moved(pointer)) is None:
                break
            pointer = now
        return pointer

    async def forward(self, pack_id: bytes) -> Forward | None:
        """Return where the frames of a pack went; None when it was not compacted. CorruptObject names it."""
        return await self._forwards.load(pack_id)

    async def footer(self, pack_id: bytes) -> list[PackEntry]:
        """Return what a pack says it holds; CorruptObject names the pack when its footer is damaged or lost."""
        key = layout.pack(pack_id)
        try:
            size = (await self.target.head(key)).size_bytes
            tail = await self._tail(key, size, min(size, _FOOTER_GUESS_BYTES))
            footer_size = pack.footer_size(memoryview(tail))
            if len(tail) < footer_size <= size:
                tail = await self._tail(key, size, footer_size)
            return pack.read_footer(pack_id, size, memoryview(tail))
        except ObjectNotFound:
            raise _lost(pack_id) from None
        except (CorruptPack, ShortRead) as error:
            raise CorruptObject(f"{key}: {error}", pack_id=pack_id) from error
        except UnknownFormat as error:
            raise UnknownFormat(f"{key}: {error}") from error

    async def publish(self, published: Manifest) -> None:
        """Write the manifest, once: from here on the backup exists. Conflict when another one is there."""
        writer = FrameWriter(self.keys, compression_level=_MANIFEST_COMPRESSION_LEVEL, is_encrypted=self.is_encrypted)
        key = layout.manifest(published.backup_id)
        try:
            await self.target.put(key, manifest.encode(published, self.keys, writer), if_absent=True)
        except ObjectExists:
            raise Conflict(f"backup {published.backup_id} was already published by another worker") from None

    async def manifest(self, backup_id: str) -> Manifest | None:
        """Return a backup's manifest, None when there is none; CorruptObject names it when it is damaged."""
        found = await self.stored_manifest(backup_id)
        return None if found is None else found[0]

    async def stored_manifest(self, backup_id: str) -> tuple[Manifest, bytes] | None:
        """Return a backup's manifest, and with it what it was read from."""
        key = layout.manifest(backup_id)
        try:
            body = await self.target.get(key)
        except ObjectNotFound:
            return None
        try:
            return manifest.decode(backup_id, body, self.keys), body
        except (CorruptObject, UnknownFormat) as error:
            raise type(error)(f"{key}: {error}") from error

    async def backup_ids(self) -> AsyncIterator[str]:
        """Yield the id of every backup that the target holds; objects with other names are not ours."""
        async for found in self.target.list(layout.MANIFESTS):
            if (backup_id := layout.backup_id(found.key)) is not None:
                yield backup_id

    async def _tail(self, key: str, size: int, length: int) -> bytes:
        return await self.target.get(key, offset=size - length, length=length)


def new_description(keyring: Keyring, *, is_encrypted: bool, created_at: str) -> bytes:
    """Return the ``repository.json`` of a new repository, with new keys."""
    fresh = Description(keys=RepositoryKeys.generate(), is_encrypted=is_encrypted, created_at=created_at)
    return description.write(fresh, keyring)


def read_description(body: bytes, keyring: Keyring, *, is_encrypted: bool) -> Description:
    """Open a ``repository.json``. CorruptObject, KeyMissing, KeyMismatch; BackupdError when not as expected."""
    opened = description.read(body, keyring)
    if opened.is_encrypted != is_encrypted:
        raise BackupdError(f"repository.json: field is_encrypted: {opened.is_encrypted}, expected {is_encrypted}")
    return opened


def _lost(pack_id: bytes) -> LostPack:
    return LostPack(f"{layout.pack(pack_id)} is lost: the target has no such object", pack_id=pack_id)
