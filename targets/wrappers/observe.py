"""What a target was asked, how much went through it and how long it took."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from targets.base import Body, ObjectInfo, Target, closing
from targets.errors import TargetError

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Counters:
    """Anyone may read them at any time; all grow only. The mappings go by operation, ``errors`` by code.

    A request is an operation that ended, well or not. ``seconds`` has the time until the answer, in a listing
    without what its reader does between objects.
    """

    bytes_in: int = 0
    bytes_out: int = 0
    operations: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)

    @property
    def requests(self) -> int:
        """All operations together."""
        return self.operations.total()


class Observe:
    """Counts in ``counters`` and logs a line per operation at level debug: names and sizes, never content.

    An error that does not say so yet is told which target it is of.
    """

    def __init__(self, inner: Target, *, name: str | None = None, monotonic: Callable[[], float] | None = None) -> None:
        self._inner = inner
        self._name = name or inner.capabilities.name
        self._monotonic = monotonic or _loop_time_s
        self.capabilities = inner.capabilities
        self.counters = Counters()

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        with self._observed("put", key) as seen:
            await self._inner.put(key, body, if_absent=if_absent)
            seen.size_bytes = memoryview(body).nbytes
        self.counters.bytes_out += seen.size_bytes

    async def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes:
        with self._observed("get", key) as seen:
            stored = await self._inner.get(key, offset=offset, length=length)
            seen.size_bytes = len(stored)
        self.counters.bytes_in += seen.size_bytes
        return stored

    async def get_into(self, key: str, buffer: bytearray | memoryview, *, offset: int = 0) -> None:
        with self._observed("get", key) as seen:
            await self._inner.get_into(key, buffer, offset=offset)
            seen.size_bytes = memoryview(buffer).nbytes
        self.counters.bytes_in += seen.size_bytes

    async def head(self, key: str) -> ObjectInfo:
        with self._observed("head", key):
            return await self._inner.head(key)

    async def delete(self, key: str) -> None:
        with self._observed("delete", key):
            await self._inner.delete(key)

    async def delete_many(self, keys: Sequence[str]) -> None:
        with self._observed("delete_many", f"{len(keys)} keys"):
            await self._inner.delete_many(keys)

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        with self._observed("list", prefix) as seen:
            async with closing(self._inner.list(prefix)) as found:
                async for info in found:
                    paused_s = self._monotonic()
                    yield info
                    seen.paused_s += self._monotonic() - paused_s

    async def aclose(self) -> None:
        await self._inner.aclose()

    @contextmanager
    def _observed(self, operation: str, key: str) -> Iterator[_Seen]:
        seen = _Seen()
        started_s = self._monotonic()
        try:
            yield seen
        except GeneratorExit:
            raise  # The reader of a listing had enough: no error.
        except BaseException as error:
            seen.outcome = getattr(error, "code", type(error).__name__)
            self.counters.errors[seen.outcome] += 1
            if isinstance(error, TargetError):
                error.target = error.target or self._name
            raise
        finally:
            elapsed_s = self._monotonic() - started_s - seen.paused_s
            self.counters.operations[operation] += 1
            self.counters.seconds[operation] = self.counters.seconds.get(operation, 0.0) + elapsed_s
            _log.debug(
                "%s: %s %s: %s, %d bytes, %.6f s",
                *(self._name, operation, key, seen.outcome, seen.size_bytes, elapsed_s),
            )


@dataclass(slots=True)
class _Seen:
    outcome: str = "ok"
    size_bytes: int = 0
    paused_s: float = 0.0


def _loop_time_s() -> float:
    return asyncio.get_running_loop().time()
