"""The requests to single RADOS objects: each is atomic, and none knows of parts but by the attribute."""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from targets.errors import ShortRead
from targets.rados.completions import Outcome, Submit, all_of
from targets.rados.connection import Connection
from targets.rados.failures import CHANGED, failure
from targets.rados.librados import CMPXATTR_EQUAL, CREATE_EXCLUSIVE, FULL_TRY, address
from targets.rados.parts import ATTRIBUTE, Split
from targets.rados.session import Session

# librados copies a body when it takes it. From this size on a thread does that, while the loop goes on.
_COPIED_IN_THREAD_BYTES = 512 * 1024
_AT_A_TIME_COUNT = 64

NOTHING = memoryview(b"")


@dataclass(frozen=True, slots=True)
class Found:
    """One object at one moment. ``size_bytes`` is that of the whole, if it is split."""

    size_bytes: int
    version: int
    split: Split | None


class Objects:
    """``doing`` begins the message of what is raised; a result that an operation names is returned."""

    def __init__(self, library: ctypes.CDLL, connection: Connection) -> None:
        self._library = library
        self._connection = connection

    async def create(self, doing: str, name: str, body: memoryview, split: Split | None = None) -> bool:
        """Write an object that does not exist; False if it does."""

        def build(op: int) -> None:
            self._library.rados_write_op_create(op, CREATE_EXCLUSIVE, None)
            self._set_content(op, body, split)

        result = await self._write(name, build, body.nbytes)
        if result == -errno.EEXIST:
            return False
        _check(result, doing)
        return True

    async def replace(self, doing: str, name: str, body: memoryview, split: Split | None, found: Found) -> bool:
        """Replace what was found; False if it is not there any more."""

        def build(op: int) -> None:
            self._library.rados_write_op_assert_version(op, found.version)
            if found.split is not None and split is None:
                self._library.rados_write_op_rmxattr(op, ATTRIBUTE)
            self._set_content(op, body, split)

        result = await self._write(name, build, body.nbytes)
        if result in (-errno.ENOENT, *CHANGED):
            return False
        _check(result, doing)
        return True

    async def remove(self, doing: str, names: Sequence[str]) -> list[str]:
        """Remove objects that are not split; return the names of those that are. Absent ones do no harm."""

        def build(op: int) -> None:
            self._library.rados_write_op_cmpxattr(op, ATTRIBUTE, CMPXATTR_EQUAL, b"", 0)
            self._library.rados_write_op_remove(op)

        split = []
        has_absent = False
        for name, outcome in await self._all(names, lambda session, name: self._written(session, name, build)):
            if outcome.result in CHANGED:
                split.append(name)
            elif outcome.result == -errno.ENOENT:
                has_absent = True
            else:
                _check(outcome.result, doing)
        if has_absent:
            await self._check_pool()
        return split

    async def remove_found(self, doing: str, name: str, found: Found) -> bool:
        """Remove what was found; False if it is not there any more."""

        def build(op: int) -> None:
            self._library.rados_write_op_assert_version(op, found.version)
            self._library.rados_write_op_remove(op)

        result = await self._write(name, build, 0)
        if result in (-errno.ENOENT, *CHANGED):
            return False
        _check(result, doing)
        return True

    async def find(self, doing: str, keys: Sequence[str]) -> dict[str, Found]:
        """Return what there is of ``keys``."""
        findings = [_Finding(self._library, key) for key in keys]
        waiting = iter(findings)
        outcomes = await self._all(keys, lambda session, _: next(waiting).submit(session))
        ended = [(key, one.found(doing, outcome)) for one, (key, outcome) in zip(findings, outcomes, strict=True)]
        found = {key: one for key, one in ended if one is not None}
        if len(found) < len(ended):
            await self._check_pool()
        return found

    async def read(
        self, doing: str, name: str, room: memoryview, offset: int, *, version: int | None = None
    ) -> Found | None:
        """Fill ``room`` as far as the object goes and return what it is; None if it is absent or not ``version``.

        Of a split object only what it is: its content is in the parts.
        """
        session = await self._connection.session()
        reading = _Reading(self._library, name, room, offset, version)
        outcome = await self._connection.start(reading.submit(session))
        while outcome.result == -errno.ECANCELED:
            found = (await self.find(doing, [name])).get(name)
            if found is None or found.split is not None:
                return found
            outcome = await self._connection.start(reading.submit(session))  # Replaced in this moment.
        if outcome.result == -errno.ENOENT:
            await self._check_pool()
            return None
        if version is not None and outcome.result in CHANGED:
            return None
        return reading.found(doing, outcome)

    async def _write(self, name: str, build: Callable[[int], None], size_bytes: int) -> int:
        session = await self._connection.session()
        submit = self._written(session, name, build)
        outcome = await self._connection.start(submit, in_thread=size_bytes >= _COPIED_IN_THREAD_BYTES)
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

    def _written(self, session: Session, name: str, build: Callable[[int], None]) -> Submit:
        def submit(completion: ctypes.c_void_p) -> int:
            with _operation(self._library.rados_create_write_op, self._library.rados_release_write_op) as op:
                build(op)
                result: int = self._library.rados_aio_write_op_operate(
                    op, session.pool, completion, name.encode(), None, FULL_TRY
                )
            return result

        return submit

    def _set_content(self, op: int, body: memoryview, split: Split | None) -> None:
        self._library.rados_write_op_write_full(op, address(body), body.nbytes)
        if split is not None:
            attribute = split.attribute()
            self._library.rados_write_op_setxattr(op, ATTRIBUTE, attribute, len(attribute))

    async def _check_pool(self) -> None:
        session = await self._connection.session()
        await self._connection.run(session.check_pool)


class _Read(ctypes.Structure):
    """What librados fills in when a reading ends."""

    _fields_ = (
        ("size_bytes", ctypes.c_uint64),
        ("count", ctypes.c_size_t),
        ("code", ctypes.c_int),
    )


class _Reading:
    """Size and content of one object in one request, and the memory that librados writes to."""

    def __init__(self, library: ctypes.CDLL, name: str, room: memoryview, offset: int, version: int | None) -> None:
        self._library = library
        self._name = name.encode()
        self._room = room
        self._offset = offset
        self._version = version
        self._read = _Read()

    def submit(self, session: Session) -> Submit:
        """Return what submits the request with a completion. ECANCELED says that the object is split."""
        library, start = self._library, ctypes.addressof(self._read)

        def submit(completion: ctypes.c_void_p) -> int:
            with _operation(library.rados_create_read_op, library.rados_release_read_op) as op:
                if self._version is not None:
                    library.rados_read_op_assert_version(op, self._version)
                library.rados_read_op_cmpxattr(op, ATTRIBUTE, CMPXATTR_EQUAL, b"", 0)
                library.rados_read_op_stat(op, start + _Read.size_bytes.offset, None, None)
                if self._room.nbytes:  # A length of 0 would mean all of it.
                    told = (start + _Read.count.offset, start + _Read.code.offset)
                    library.rados_read_op_read(op, self._offset, self._room.nbytes, address(self._room), *told)
                result: int = library.rados_aio_read_op_operate(op, session.pool, completion, self._name, 0)
            return result

        return submit

    def found(self, doing: str, outcome: Outcome) -> Found:
        """Return what has been read, after the request has ended."""
        _check(outcome.result, doing)
        _check(self._read.code, doing)
        size_bytes, count = self._read.size_bytes, self._read.count
        if count != max(min(self._room.nbytes, size_bytes - self._offset), 0):
            raise ShortRead(f"{doing}: {count} bytes came from {self._offset} on, the object has {size_bytes}")
        return Found(size_bytes, outcome.version, None)


class _Finding:
    """Size and attributes of one object in one request."""

    def __init__(self, library: ctypes.CDLL, key: str) -> None:
        self._library = library
        self._key = key
        self._size = ctypes.c_uint64()
        self._attributes = ctypes.c_void_p()

    def submit(self, session: Session) -> Submit:
        """Return what submits the request with a completion."""
        library = self._library

        def submit(completion: ctypes.c_void_p) -> int:
            with _operation(library.rados_create_read_op, library.rados_release_read_op) as op:
                library.rados_read_op_stat(op, ctypes.addressof(self._size), None, None)
                library.rados_read_op_getxattrs(op, ctypes.addressof(self._attributes), None)
                result: int = library.rados_aio_read_op_operate(op, session.pool, completion, self._key.encode(), 0)
            return result

        return submit

    def found(self, doing: str, outcome: Outcome) -> Found | None:
        """Return what has been found, None if nothing, after the request has ended. To be called once."""
        attribute = self._take_attribute()
        if outcome.result == -errno.ENOENT:
            return None
        _check(outcome.result, doing)
        if attribute is None:
            return Found(self._size.value, outcome.version, None)
        split = Split.read(self._key, attribute)
        return Found(split.size_bytes, outcome.version, split)

    def _take_attribute(self) -> bytes | None:
        """Return the attribute of a split object, and release all of them."""
        if not self._attributes:
            return None
        found = None
        name, value, length = ctypes.c_char_p(), ctypes.c_void_p(), ctypes.c_size_t()
        while True:
            self._library.rados_getxattrs_next(
                self._attributes, ctypes.byref(name), ctypes.byref(value), ctypes.byref(length)
            )
            if name.value is None:
                break
            if name.value == ATTRIBUTE and value.value is not None:
                found = ctypes.string_at(value.value, length.value)
        self._library.rados_getxattrs_end(self._attributes)
        return found


@contextmanager
def _operation(create: Callable[[], Any], release: Callable[[Any], Any]) -> Iterator[int]:
    op = create()
    try:
        yield op
    finally:
        release(op)


def _check(result: int, doing: str) -> None:
    if result < 0:
        raise failure(result, doing)
