"""What is stored, as anybody with the keys can read it: past every fault, daemon and catalog.

It knows the formats and nothing of the service's own ways to read. What was read once is remembered as long as
its object stays the same, so that everything can be looked at after every step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from backupd.errors import CorruptObject
from backupd.model import Backup
from backupd.repository import forward, layout, manifest
from backupd.repository.description import Description
from backupd.repository.forwards import HOPS_MAX
from backupd.repository.keyring import Keyring
from backupd.repository.manifest import Manifest
from backupd.repository.repository import read_description
from backupd.simulation.guests import digest
from backupd.simulation.store import Store
from chunker import frame, node
from chunker.digest import Kind
from chunker.errors import ChunkerError
from chunker.frame import FrameReader
from chunker.node import Pointer


class Unreadable(Exception):
    """Something that a backup needs is not there, or is not what it should be; ``key`` says where."""

    def __init__(self, key: str) -> None:
        super().__init__(f"{key} cannot be read")
        self.key = key


class Chunk(NamedTuple):
    """One chunk that is not zeros: its place, and the digest of its bytes or where they cannot be read."""

    number: int
    digest: bytes
    unreadable: str


@dataclass(slots=True)
class _Remembered:
    """What came out of some objects, good for as long as those are the same."""

    objects: dict[str, bytes | None]
    result: tuple[Manifest, list[Chunk]]


class Reader:
    """Reads the backups of one store. Its answers are exact, and cheap while nothing has changed."""

    def __init__(self, store: Store, keyring: Keyring) -> None:
        self._store = store
        self._keyring = keyring
        self._repositories: dict[str, tuple[bytes, Description, FrameReader]] = {}
        self._frames: dict[tuple[bytes, str, int], tuple[bytes, bytes]] = {}
        self._backups: dict[str, _Remembered] = {}

    def read(self, backup: Backup) -> tuple[Manifest, list[Chunk]]:
        """Return the manifest and the chunks. Unreadable when there is nothing that could be restored from."""
        known = self._backups.get(backup.id)
        if known is not None and all(self._store.peek(key) is body for key, body in known.objects.items()):
            return known.result
        reading = _Reading(self, backup)
        result = reading.run()
        self._backups[backup.id] = _Remembered(reading.objects, result)
        return result

    def peek(self, key: str) -> bytes | None:
        """Return an object of the store."""
        return self._store.peek(key)

    def forget(self, backup_id: str) -> None:
        """Forget a backup that is no longer asked for."""
        self._backups.pop(backup_id, None)

    def repository(self, prefix: str, body: bytes, *, is_encrypted: bool) -> tuple[Description, FrameReader]:
        """Open a repository, once for as long as its description is the same."""
        known = self._repositories.get(prefix)
        if known is None or known[0] is not body:
            description = read_description(body, self._keyring, is_encrypted=is_encrypted)
            known = self._repositories[prefix] = body, description, FrameReader(description.keys)
        return known[1:]

    def frame_digest(self, key: str, body: bytes, pointer: Pointer, size: int, reader: FrameReader) -> bytes:
        """Return the digest of the plain bytes of a chunk. ChunkerError."""
        place = pointer.id, key, pointer.offset
        known = self._frames.get(place)
        if known is not None and known[0] is body:
            return known[1]
        plain = memoryview(bytearray(size))
        reader.decode(Kind.CHUNK, pointer.id, _stored(body, pointer), plain)
        found = digest(plain)
        self._frames[place] = body, found
        return found


class _Reading:
    """One backup, read from its manifest down; remembers which objects it has looked at."""

    def __init__(self, reader: Reader, backup: Backup) -> None:
        self._reader = reader
        self._backup = backup
        self._prefix = layout.prefix(backup.project, is_encrypted=backup.is_encrypted)
        self.objects: dict[str, bytes | None] = {}

    def run(self) -> tuple[Manifest, list[Chunk]]:
        encrypted = self._backup.is_encrypted
        repository = self._object(layout.REPOSITORY)
        description, self._frames = self._reader.repository(self._prefix, repository, is_encrypted=encrypted)
        key = layout.manifest(self._backup.id)
        try:
            found = manifest.decode(self._backup.id, self._object(key), description.keys)
        except CorruptObject as error:
            raise Unreadable(self._prefix + key) from error
        return found, list(self._chunks(found))

    def _chunks(self, found: Manifest) -> Iterator[Chunk]:
        if found.root is None:
            return
        for index, pointer in self._leaves(found.root, found.tree.height - 1, 0):
            size = min(found.chunk_size_bytes, found.size_bytes - index * found.chunk_size_bytes)
            try:
                place, body = self._place(pointer)
            except Unreadable as error:
                yield Chunk(index, b"", error.key)
                continue
            key = layout.pack(place.pack)
            try:
                yield Chunk(index, self._reader.frame_digest(key, body, place, size, self._frames), "")
            except ChunkerError:
                yield Chunk(index, b"", self._prefix + key)

    def _leaves(self, pointer: Pointer, level: int, base: int) -> Iterator[tuple[int, Pointer]]:
        slots = self._node(pointer, level)
        for number, child in slots.items():
            index = base * node.FANOUT + number
            if level == 0:
                yield index, child
            else:
                yield from self._leaves(child, level - 1, index)

    def _node(self, pointer: Pointer, level: int) -> node.Slots:
        place, body = self._place(pointer)
        stored = _stored(body, place)
        try:
            plain = memoryview(bytearray(frame.plain_size(stored)))
            self._frames.decode(Kind.NODE, pointer.id, stored, plain)
            return node.decode(level, plain)
        except ChunkerError as error:
            raise Unreadable(self._prefix + layout.pack(place.pack)) from error

    def _place(self, pointer: Pointer) -> tuple[Pointer, bytes]:
        """Return where a frame is now, and the pack: it may have been moved, more than once."""
        lost = Unreadable(self._prefix + layout.pack(pointer.pack))
        for _ in range(HOPS_MAX):
            try:
                return pointer, self._object(layout.pack(pointer.pack))
            except Unreadable as error:
                pointer = self._moved(pointer, error)
        raise lost

    def _moved(self, pointer: Pointer, lost: Unreadable) -> Pointer:
        key = layout.forward(pointer.pack)
        try:
            body = self._object(key)
        except Unreadable:
            raise lost from None
        try:
            place = forward.decode(pointer.pack, body).get(pointer.offset)
        except CorruptObject:
            raise Unreadable(self._prefix + key) from None
        if place is None:
            raise lost
        return Pointer(pointer.id, *place)

    def _object(self, key: str) -> bytes:
        full = self._prefix + key
        body = self.objects[full] = self._reader.peek(full)
        if body is None:
            raise Unreadable(full)
        return body


def _stored(body: bytes, pointer: Pointer) -> memoryview:
    return memoryview(body)[pointer.offset : pointer.offset + pointer.length]
