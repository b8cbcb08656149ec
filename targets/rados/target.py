"""The RADOS target."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import suppress

from targets.base import UNLIMITED_BYTES, Body, Capabilities, Leaving, ObjectInfo, check_range, flat_view, range_end
from targets.errors import Final, ObjectExists, ObjectNotFound, ShortRead, TargetError, Unavailable
from targets.keys import is_key, validate_key, validate_prefix
from targets.parallel import each
from targets.rados import binding, librados
from targets.rados.connection import Connection
from targets.rados.objects import NOTHING, Objects
from targets.rados.options import Namespace, RadosOptions
from targets.rados.parts import PARTS, Split
from targets.rados.session import LOOKS_MAX, Found, Libraries

_ATTEMPTS_MAX = 100  # So often another writer may come between.
_READ_BYTES_MAX = 2**31 - 1  # librados refuses to be asked for more at once.
_DELETIONS_MAX = 64
_PAGE_COUNT = 512
_LOOKED_AT_MAX = 20_000  # By one page of a listing with a prefix that few names have.


class RadosTarget:
    """The objects of a namespace of a pool. Making one connects; Misconfigured or PermissionDenied.

    There is one namespace for each target, and not one for each repository: what a user of the cluster may
    touch is granted by namespace, and the operator who grants it knows the name of the target, while those of
    repositories come later. The prefix that tells repositories apart stays in the names of the objects.

    An operation that is cancelled waits until its request has ended, as that cannot be withdrawn.
    ``operation_timeout_s`` bounds that.
    """

    capabilities = Capabilities(name="rados", conditional_put=True, object_size_bytes_max=UNLIMITED_BYTES)

    def __init__(self, namespace: Namespace, options: RadosOptions | None = None) -> None:
        libraries = Libraries(binding.load(), librados.load())
        self._connection = Connection(libraries, namespace, options or RadosOptions())
        self._objects = Objects(libraries.binding, self._connection)

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
            found = await self._read(key, offset, length)
            if not isinstance(found, Split):
                return bytes(found)
            room = bytearray(range_end(key, found.size_bytes, offset=offset, length=length) - offset)
            if await self._fill(key, found, memoryview(room), offset):
                return bytes(room)
        raise _unsteady(f"get {key}")

    async def get_into(self, key: str, buffer: bytearray | memoryview, *, offset: int = 0) -> None:
        validate_key(key)
        with flat_view(buffer) as room:
            check_range(key, offset=offset, length=room.nbytes)
            for _ in range(_ATTEMPTS_MAX):
                found = await self._read(key, offset, room.nbytes, room)
                if not isinstance(found, Split):
                    return
                range_end(key, found.size_bytes, offset=offset, length=room.nbytes)
                if await self._fill(key, found, room, offset):
                    return
        raise _unsteady(f"get {key}")

    async def head(self, key: str) -> ObjectInfo:
        validate_key(key)
        sizes = await self._sizes(f"head {key}", [key])
        if key not in sizes:
            raise _not_found(key)
        return ObjectInfo(key, sizes[key])

    async def delete(self, key: str) -> None:
        validate_key(key)
        await self._delete(f"delete {key}", key)

    async def delete_many(self, keys: Sequence[str]) -> None:
        for key in keys:
            validate_key(key)
        doing = f"delete {len(keys)} objects"
        await each(keys, lambda key: self._delete(doing, key), at_a_time=_DELETIONS_MAX)

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
                for key, size_bytes in (await self._sizes(f"list {prefix}", keys)).items():
                    yield ObjectInfo(key, size_bytes)
        finally:
            if not listing.is_closed:  # As it is when the target has been closed.
                await self._connection.run(listing.close)

    async def leavings(self, prefix: str) -> AsyncIterator[Leaving]:
        """Yield the parts whose object is absent or consists of others."""
        validate_prefix(prefix)
        listing = (await self._connection.session()).listing(PARTS)
        has_more = True
        try:
            while has_more:
                names, has_more = await self._connection.run(lambda: listing.page(_PAGE_COUNT, _LOOKED_AT_MAX))
                parts = {name: part for name in names if (part := Split.part_of(name)) and part[1].startswith(prefix)}
                whole = await self._split_ids("list parts", {key for _, key in parts.values()})
                for name, (split_id, key) in parts.items():
                    if whole.get(key) != split_id:
                        yield Leaving(name, key, 0)
        finally:
            if not listing.is_closed:
                await self._connection.run(listing.close)

    async def remove_leavings(self, leavings: Sequence[Leaving]) -> None:
        """Remove parts, but for those that have got their head meanwhile."""
        whole = await self._split_ids("remove parts", {one.key for one in leavings})
        parts = {one.name: Split.part_of(one.name) for one in leavings}
        left = [name for name, part in parts.items() if part is not None and whole.get(part[1]) != part[0]]
        await self._objects.remove_parts("remove parts", left)

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
            old = await self._objects.look(doing, key)
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

    async def _delete(self, doing: str, key: str) -> None:
        """Remove the object, or its head, so that nobody sees half of it, and then the parts."""
        for _ in range(_ATTEMPTS_MAX):
            found = await self._objects.look(doing, key)
            if found is None:
                return
            if await self._objects.remove(doing, key, found):
                await self._remove_parts(key, found)
                return
        raise _unsteady(doing)

    async def _remove_parts(self, key: str, found: Found) -> None:
        if found.split is not None:
            await self._remove_names(key, found.split.names(key))

    async def _remove_names(self, key: str, names: Sequence[str]) -> None:
        with suppress(TargetError):  # The outcome is decided; what stays takes space and no more.
            await self._objects.remove_parts(f"delete {key}", names)

    async def _split_ids(self, doing: str, keys: Collection[str]) -> dict[str, str]:
        """Return which parts the objects consist of that are there and have some."""
        ids: dict[str, str] = {}

        async def look(key: str) -> None:
            found = await self._objects.look(doing, key)
            if found is not None and found.split is not None:
                ids[key] = found.split.id

        await each([*keys], look, at_a_time=LOOKS_MAX)
        return ids

    async def _sizes(self, doing: str, keys: Sequence[str]) -> dict[str, int]:
        """Return the sizes of those that are there. One that seems to be empty is the head of a split one, or empty."""
        sizes = await self._objects.sizes(doing, keys)

        async def measure(key: str) -> None:
            size = await self._objects.measure(doing, key)
            if size is None:
                del sizes[key]
            else:
                sizes[key] = size.size_bytes if isinstance(size, Split) else size

        await each([key for key, size_bytes in sizes.items() if size_bytes == 0], measure, at_a_time=LOOKS_MAX)
        return sizes

    async def _read(
        self, key: str, offset: int, length: int | None, room: memoryview | None = None
    ) -> bytes | memoryview | Split:
        """Return a range in one request, so that all of it is of one object; or how the object is split.

        ``room`` is for all of the range, and is returned if that is there now.

        A head has no content: whatever has some is not split, and what gives less than was asked for ends there.
        """
        doing = f"get {key}"
        wanted_bytes = _READ_BYTES_MAX if length is None else max(length, 1)
        asked_bytes = min(wanted_bytes, (await self._connection.session()).part_bytes + 1)
        for _ in range(_ATTEMPTS_MAX):
            content = await self._objects.read(doing, key, offset, asked_bytes, room)
            if content is None:
                raise _not_found(key)
            if len(content) == wanted_bytes:
                return content if length != 0 else b""
            if len(content) == asked_bytes:  # It was written with larger parts than ours.
                asked_bytes = min(wanted_bytes, 2 * asked_bytes)
                continue
            if content:
                range_end(key, offset + len(content), offset=offset, length=length)
                return content
            size = await self._objects.measure(doing, key)
            if size is None:
                raise _not_found(key)
            if isinstance(size, Split):
                return size
            if size <= offset:
                range_end(key, size, offset=offset, length=length)
                return b""
        raise _unsteady(doing)

    async def _fill(self, key: str, split: Split, room: memoryview, offset: int) -> bool:
        """Fill ``room`` from the parts of the very object that was found; False if another one has taken its place."""
        doing = f"get {key}"
        filled = 0
        for piece in split.pieces(offset, room.nbytes):
            name = split.name(key, piece.number)
            with room[filled : filled + piece.length] as place:
                part = await self._objects.read(doing, name, piece.start, piece.length, place)
            if part is not place:
                now = await self._objects.look(doing, key)
                if now is not None and now.split == split:
                    raise ShortRead(f"{key}: part {piece.number} of it is missing or too short")
                return False
            filled += piece.length
        return True


def _not_found(key: str) -> ObjectNotFound:
    return ObjectNotFound(f"{key} does not exist")


def _unsteady(doing: str) -> Unavailable:
    return Unavailable(f"{doing}: others write the same object all the time")
