"""The local target: the blocking store in threads of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

from targets.base import UNLIMITED_BYTES, Body, Capabilities, Leaving, ObjectInfo, flat_view
from targets.errors import Misconfigured
from targets.keys import validate_key, validate_prefix
from targets.local.files import LocalFiles, UnsyncedFiles
from targets.local.root import Root
from targets.local.store import DirectoryStore
from targets.threads import outcome, shut_down

T = TypeVar("T")

_THREADS_MAX = 256
_LIST_BATCH_COUNT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalOptions:
    """``create``: make the root if it is missing; ``fsync``: survive a power cut, not only a crash."""

    create: bool = False
    fsync: bool = True
    threads: int = 4

    def __post_init__(self) -> None:
        if not 1 <= self.threads <= _THREADS_MAX:
            raise Misconfigured(f"option threads: {self.threads}, expected 1 to {_THREADS_MAX}")


class LocalTarget:
    """A directory as a target. Making one reads the directory; Misconfigured when it is not there.

    An operation that is cancelled while its thread runs waits for the thread, since a system call cannot be
    stopped: the caller's buffer is in use and the outcome open until then.
    """

    capabilities = Capabilities(name="local", conditional_put=True, object_size_bytes_max=UNLIMITED_BYTES)

    def __init__(self, root: Path, options: LocalOptions | None = None, *, files: LocalFiles | None = None) -> None:
        options = options or LocalOptions()
        files = files or (LocalFiles() if options.fsync else UnsyncedFiles())
        self._store = DirectoryStore(Root(root, create=options.create, files=files), files)
        self._executor = ThreadPoolExecutor(options.threads, thread_name_prefix="target-local")

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        validate_key(key)
        with flat_view(body) as view:
            await self._run(partial(self._store.put, key, view, if_absent=if_absent))

    async def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes:
        validate_key(key)
        return await self._run(partial(self._store.get, key, offset=offset, length=length))

    async def get_into(self, key: str, buffer: bytearray | memoryview, *, offset: int = 0) -> None:
        validate_key(key)
        with flat_view(buffer) as view:
            await self._run(partial(self._store.get_into, key, view, offset=offset))

    async def head(self, key: str) -> ObjectInfo:
        validate_key(key)
        return await self._run(partial(self._store.head, key))

    async def delete(self, key: str) -> None:
        validate_key(key)
        await self._run(partial(self._store.delete, key))

    async def delete_many(self, keys: Sequence[str]) -> None:
        for key in keys:
            validate_key(key)
        for key in keys:  # A turn each, so that a long list does not keep a thread from others.
            await self.delete(key)

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        validate_prefix(prefix)
        found = self._store.walk(prefix)
        try:
            while batch := await self._run(lambda: tuple(islice(found, _LIST_BATCH_COUNT))):
                for info in batch:
                    yield info
        finally:
            found.close()

    async def leavings(self, prefix: str) -> AsyncIterator[Leaving]:
        validate_prefix(prefix)
        for leaving in await self._run(self._store.leavings):
            yield leaving

    async def remove_leavings(self, leavings: Sequence[Leaving]) -> None:
        for leaving in leavings:
            await self._run(partial(self._store.remove_leaving, leaving))

    async def aclose(self) -> None:
        await shut_down(self._executor)

    async def _run(self, work: Callable[[], T]) -> T:
        return await outcome(self._executor.submit(work))
