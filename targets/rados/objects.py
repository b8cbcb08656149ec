"""The requests to single RADOS objects: each is atomic, and none knows of parts but by the attribute."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Sequence
from typing import Any

from targets.rados.completions import Completed, Outcome, Submit, all_of
from targets.rados.connection import Connection
from targets.rados.copies import LARGE_BYTES, as_bytes, fill
from targets.rados.failures import CHANGED, failure
from targets.rados.parts import ATTRIBUTE, Split
from targets.rados.session import Found, Session

_AT_A_TIME_COUNT = 64

NOTHING = memoryview(b"")


class Objects:
    """``doing`` begins the message of what is raised; a result that an operation names is returned."""

    def __init__(self, binding: Any, connection: Connection) -> None:
        self._binding = binding
        self._connection = connection

    async def create(self, doing: str, name: str, body: memoryview, split: Split | None = None) -> bool:
        """Write an object that does not exist; False if it does."""

        def build(op: Any) -> None:
            op.new(self._binding.LIBRADOS_CREATE_EXCLUSIVE)
            _set_content(op, body, split)

        result = await self._write(name, build, body.nbytes)
        if result == -errno.EEXIST:
            return False
        _check(result, doing)
        return True

    async def replace(self, doing: str, name: str, body: memoryview, split: Split | None, found: Found) -> bool:
        """Replace what was found; False if it is not there any more."""

        def build(op: Any) -> None:
            op.assert_version(found.version)
            if found.split is not None and split is None:
                op.rm_xattr(ATTRIBUTE)
            _set_content(op, body, split)

        return _was_there(await self._write(name, build, body.nbytes), doing)

    async def remove(self, doing: str, name: str, found: Found) -> bool:
        """Remove what was found; False if it is not there any more."""

        def build(op: Any) -> None:
            op.assert_version(found.version)
            op.remove()

        return _was_there(await self._write(name, build, 0), doing)

    async def remove_parts(self, doing: str, names: Sequence[str]) -> None:
        """Remove objects that nobody replaces. Absent ones do no harm."""

        def removal(session: Session, name: str) -> Submit:
            return lambda completed: session.pool.aio_remove(name, completed)

        for _, outcome in await self._all(names, removal):
            if outcome.result != -errno.ENOENT:
                _check(outcome.result, doing)

    async def look(self, doing: str, name: str) -> Found | None:
        """Return what an object is, None if it is absent."""
        session = await self._connection.session()
        found = await self._connection.look(lambda: session.look(doing, name))
        if found is None:
            await self._check_pool()
        return found

    async def measure(self, doing: str, name: str) -> int | Split | None:
        """Return the size of an object, or how it is split; None if it is absent."""
        session = await self._connection.session()
        size = await self._connection.look(lambda: session.measure(doing, name))
        if size is None:
            await self._check_pool()
        return size

    async def sizes(self, doing: str, names: Sequence[str]) -> dict[str, int]:
        """Return how large the objects are; absent ones are left out. What seems to be empty may be split."""

        def measuring(session: Session, name: str) -> Submit:
            return lambda completed: session.pool.aio_stat(name, completed)

        sizes: dict[str, int] = {}
        has_absent = False
        for name, outcome in await self._all(names, measuring):
            if outcome.result == -errno.ENOENT:
                has_absent = True
            else:
                _check(outcome.result, doing)
                sizes[name] = outcome.found
        if has_absent:
            await self._check_pool()
        return sizes

    async def read(
        self, doing: str, name: str, offset: int, length: int, room: memoryview | None = None
    ) -> bytes | memoryview | None:
        """Return ``length`` bytes, fewer if the object ends before, none of a split one; None if it is absent.

        What is exactly as long as ``room`` is put there, and ``room`` returned.
        """
        session = await self._connection.session()

        def take(result: int, content: bytes) -> bytes | memoryview:
            if room is None or result != room.nbytes:
                return content
            with room[:] as held:  # Whoever waits cannot take the memory away meanwhile, whatever becomes of it.
                fill(held, content)
            return room

        # It is taken where it arrives: there it is in the cache, and the binding's bytes can go at once.
        outcome = await self._connection.start(
            lambda completed: session.pool.aio_read(name, length, offset, completed), take=take
        )
        if outcome.result == -errno.ENOENT:
            await self._check_pool()
            return None
        _check(outcome.result, doing)
        content: bytes | memoryview = outcome.found
        return content if content is room else content[: outcome.result]  # When nothing came, the rest is no content.

    async def _write(self, name: str, build: Callable[[Any], None], size_bytes: int) -> int:
        session = await self._connection.session()

        def submit(completed: Completed) -> None:
            with self._binding.WriteOpCtx() as op:
                build(op)
                # The time of writing, which the binding does not fill in; nothing here goes by it.
                session.pool.operate_aio_write_op(op, name, completed, mtime=int(time.time()))

        outcome = await self._connection.start(submit, in_thread=size_bytes >= LARGE_BYTES)
        if outcome.result == -errno.ENOENT:
            await self._check_pool()
        return outcome.result

    async def _all(self, names: Sequence[str], submit: Callable[[Session, str], Submit]) -> list[tuple[str, Outcome]]:
        """Send one request for each name, some at a time, and return all outcomes."""
        session = await self._connection.session()
        outcomes: list[tuple[str, Outcome]] = []
        for first in range(0, len(names), _AT_A_TIME_COUNT):
            some = names[first : first + _AT_A_TIME_COUNT]
            under_way = [self._connection.start(submit(session, name)) for name in some]
            outcomes += zip(some, await all_of(under_way), strict=True)
        return outcomes

    async def _check_pool(self) -> None:
        session = await self._connection.session()
        await self._connection.run(session.check_pool)


def _set_content(op: Any, body: memoryview, split: Split | None) -> None:
    op.write_full(as_bytes(body))
    if split is not None:
        op.set_xattr(ATTRIBUTE, split.attribute())


def _was_there(result: int, doing: str) -> bool:
    if result in (-errno.ENOENT, *CHANGED):
        return False
    _check(result, doing)
    return True


def _check(result: int, doing: str) -> None:
    if result < 0:
        raise failure(result, doing)
