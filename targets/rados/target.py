"""The RADOS target."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress

from targets.base import UNLIMITED_BYTES, Body, Capabilities, Leaving, ObjectInfo, check_range, flat_view, range_end
from targets.errors import Final, ObjectExists, ObjectNotFound, ShortRead, TargetError, Unavailable
from targets.keys import is_key, validate_key, validate_prefix
from targets.rados.connection import Connection
from targets.rados.librados import load
from targets.rados.objects import NOTHING, Found, Objects
from targets.rados.options import RadosOptions
from targets.rados.parts import PARTS, Split
from targets.rados.session import Namespace

_ATTEMPTS_MAX = 100  # So often another writer may come between.
_GUESS_BYTES = 64 * 1024  # Read at once, with the size, when it is not known how much there is.
_PAGE_COUNT = 512
_LOOKED_AT_MAX = 20_000  # By one page of a listing with a prefix that few names have.


class RadosTarget:
    """The objects of a namespace of a pool. Making one connects; Misconfigured or PermissionDenied.

    There is one namespace for each target, and not one for each repository: what a user of the cluster may
    touch is granted by namespace, and the operator who grants it knows the name of the target, while those of
    repositories come later. The prefix that tells repositories apart stays in the names of the objects.

    An operation that is cancelled waits until its request has ended: it cannot be withdrawn, and may be
    writing to the caller's buffer. ``operation_timeout_s`` bounds that.
    """

    capabilities = Capabilities(name="rados", conditional_put=True, object_size_bytes_max=UNLIMITED_BYTES)

    def __init__(self, namespace: Namespace, options: RadosOptions | None = None) -> None:
        library = load()
        self._connection = Connection(library, namespace, options or RadosOptions())
        self._objects = Objects(library, self._connection)

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        validate_key(key)
        part_bytes = (await self._connection.session()).part_bytes
        with flat_view(body) as view:
            if view.nbytes <= part_bytes:
                await self._publish(key, view, None, if_absent=if_absent)
            else:
                await self._put_split(key, view, Split.new(view.nbytes, part_bytes), if_absent=if_absent)

    async def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes:
        validate_key(key)
        check_range(key, offset=offset, length=length)
        for _ in range(_ATTEMPTS_MAX):
            guess = memoryview(bytearray(_GUESS_BYTES if length is None else min(length, _GUESS_BYTES)))
            found = await self._read(key, guess, offset)
            count = range_end(key, found.size_bytes, offset=offset, length=length) - offset
            if found.split is None and count <= guess.nbytes:
                return bytes(guess[:count])
            room = bytearray(count)
            if await self._fill(key, found, memoryview(room), offset):
                return bytes(room)
        raise _unsteady(f"get {key}")

    async def get_into(self, key: str, buffer: bytearray | memoryview, *, offset: int = 0) -> None:
        validate_key(key)
        with flat_view(buffer) as room:
            check_range(key, offset=offset, length=room.nbytes)
            for _ in range(_ATTEMPTS_MAX):
                found = await self._read(key, room, offset)
                range_end(key, found.size_bytes, offset=offset, length=room.nbytes)
                if found.split is None or await self._fill(key, found, room, offset):
                    return
        raise _unsteady(f"get {key}")

    async def head(self, key: str) -> ObjectInfo:
        validate_key(key)
        found = await self._objects.find(f"head {key}", [key])
        if key not in found:
            raise _not_found(key)
        return ObjectInfo(key, found[key].size_bytes)

    async def delete(self, key: str) -> None:
        await self.delete_many([key])

    async def delete_many(self, keys: Sequence[str]) -> None:
        for key in keys:
            validate_key(key)
        doing = f"delete {keys[0] if len(keys) == 1 else f'{len(keys)} objects'}"
        for key in await self._objects.remove(doing, keys):
            await self._delete_split(key)

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """Ask for names, then for the sizes of a page of them: a listing of RADOS has names only, of all objects."""
        validate_prefix(prefix)
        session = await self._connection.session()
        listing = session.listing(prefix)
        has_more = True
        try:
            while has_more:
                names, has_more = await self._connection.run(lambda: listing.page(_PAGE_COUNT, _LOOKED_AT_MAX))
                keys = [name for name in names if is_key(name)]
                for key, found in (await self._objects.find(f"list {prefix}", keys)).items():
                    yield ObjectInfo(key, found.size_bytes)
        finally:
            listing.close()

    async def leavings(self, prefix: str) -> AsyncIterator[Leaving]:
        """Yield the parts whose object is absent or consists of others."""
        validate_prefix(prefix)
        listing = (await self._connection.session()).listing(PARTS)
        has_more = True
        try:
            while has_more:
                names, has_more = await self._connection.run(lambda: listing.page(_PAGE_COUNT, _LOOKED_AT_MAX))
                parts = {name: part for name in names if (part := Split.part_of(name)) and part[1].startswith(prefix)}
                heads = await self._objects.find("list parts", [*{key for _, key in parts.values()}])
                for name, (split_id, key) in parts.items():
                    split = heads[key].split if key in heads else None
                    if split is None or split.id != split_id:
                        yield Leaving(name, key, 0)
        finally:
            listing.close()

    async def remove_leavings(self, leavings: Sequence[Leaving]) -> None:
        """Remove parts, but for those that have got their head meanwhile."""
        heads = await self._objects.find("remove parts", [*{one.key for one in leavings}])
        left = [one.name for one in leavings if not _is_part(one, heads)]
        await self._objects.remove("remove parts", left)

    async def aclose(self) -> None:
        await self._connection.aclose()

    async def _publish(self, key: str, body: memoryview, split: Split | None, *, if_absent: bool) -> None:
        """Give the object its name. A write that comes late, after a time-out, meets another object and fails."""
        doing = f"put {key}"
        for _ in range(_ATTEMPTS_MAX):
            if await self._objects.create(doing, key, body, split):
                return
            if if_absent:
                raise ObjectExists(f"{key} exists already")
            old = (await self._objects.find(doing, [key])).get(key)
            if old is not None and await self._objects.replace(doing, key, body, split, old):
                await self._remove_parts(key, old)
                return
        raise _unsteady(doing)

    async def _put_split(self, key: str, body: memoryview, split: Split, *, if_absent: bool) -> None:
        """Write the parts, then the head that makes them visible. Parts without a head are removed again."""
        try:
            for piece in split.pieces(0, body.nbytes):
                start = piece.number * split.part_bytes
                with body[start : start + piece.length] as part:
                    await self._objects.create(f"put {key}", split.name(key, piece.number), part)
        except BaseException:
            await self._remove_names(key, split.names(key))
            raise
        try:
            await self._publish(key, NOTHING, split, if_absent=if_absent)
        except Final:
            await self._remove_names(key, split.names(key))
            raise  # After any other error the head may be there, or come late: its parts must stay.

    async def _delete_split(self, key: str) -> None:
        """Remove the head, so that nobody sees half of the object, then the parts."""
        doing = f"delete {key}"
        for _ in range(_ATTEMPTS_MAX):
            found = (await self._objects.find(doing, [key])).get(key)
            if found is None:
                return
            if await self._objects.remove_found(doing, key, found):
                await self._remove_parts(key, found)
                return
        raise _unsteady(doing)

    async def _remove_parts(self, key: str, found: Found) -> None:
        if found.split is not None:
            await self._remove_names(key, found.split.names(key))

    async def _remove_names(self, key: str, names: Sequence[str]) -> None:
        with suppress(TargetError):  # The outcome is decided; what stays takes space and no more.
            await self._objects.remove(f"delete {key}", names)

    async def _read(self, key: str, room: memoryview, offset: int) -> Found:
        found = await self._objects.read(f"get {key}", key, room, offset)
        if found is None:
            raise _not_found(key)
        return found

    async def _fill(self, key: str, found: Found, room: memoryview, offset: int) -> bool:
        """Fill ``room`` from the very object that was found; False if another one has taken its place."""
        doing = f"get {key}"
        if found.split is None:
            return await self._objects.read(doing, key, room, offset, version=found.version) is not None
        filled = 0
        for piece in found.split.pieces(offset, room.nbytes):
            with room[filled : filled + piece.length] as place:
                part = await self._objects.read(doing, found.split.name(key, piece.number), place, piece.start)
            if part is None or part.size_bytes < piece.start + piece.length:
                now = (await self._objects.find(doing, [key])).get(key)
                if now is not None and now.version == found.version:
                    raise ShortRead(f"{key}: part {piece.number} of it is missing or too short")
                return False
            filled += piece.length
        return True


def _is_part(leaving: Leaving, heads: Mapping[str, Found]) -> bool:
    part, head = Split.part_of(leaving.name), heads.get(leaving.key)
    return part is not None and head is not None and head.split is not None and head.split.id == part[0]


def _not_found(key: str) -> ObjectNotFound:
    return ObjectNotFound(f"{key} does not exist")


def _unsteady(doing: str) -> Unavailable:
    return Unavailable(f"{doing}: others write the same object all the time")
