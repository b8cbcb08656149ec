"""An export through several connections, which threads share; connections that break are replaced."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ssl import SSLContext
from typing import TypeVar

from chunker.errors import SourceChanged, SourceMissing, SourceUnreadable
from chunker.extents import Extent
from chunker.sources.nbd.connection import Connection, Status
from chunker.sources.nbd.failures import ConnectionLost, Refused
from chunker.sources.nbd.place import Place

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How hard an export is read. A read is cut into requests; a connection has so many of them in flight."""

    connections_max: int = 4
    requests_max: int = 8
    request_bytes: int = 256 * 1024
    timeout_s: float = 60.0
    retries_max: int = 5
    retry_wait_s: float = 0.2


class Client:
    """Reads an export; its methods may be called from several threads at once."""

    def __init__(
        self, place: Place, contexts: Sequence[str], *, tls: SSLContext | None, effort: Effort, is_exact: bool = False
    ) -> None:
        """Connect once. SourceMissing when there is no such server or export, SourceUnreadable."""
        self._place = place
        self._contexts = contexts
        self._tls = tls
        self._effort = effort
        self._is_exact = is_exact
        self._closed = threading.Event()
        self._changed = threading.Condition()
        self._free: list[Connection] = []
        try:
            first = self._connect()
        except (ConnectionLost, Refused) as error:
            raise SourceMissing(f"{place}: {error}") from error
        self.export = first.export
        self._free.append(first)
        self._count = 1
        weakref.finalize(self, _abandon, self._free)  # For those who never close.
        self._count_max = effort.connections_max if self.export.is_multi_conn else 1

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        """Fill the buffer. SourceUnreadable; SourceChanged when the export has another size by now."""

        def read(connection: Connection) -> None:
            effort = self._effort
            connection.read_into(
                offset_bytes,
                buffer,
                request_bytes=effort.request_bytes,
                requests_max=effort.requests_max,
                is_exact=self._is_exact,
            )

        self._with_connection(read, f"cannot be read at byte {offset_bytes}")

    def status(self, context: str, within: Extent) -> list[Status]:
        """Return what one context says about a range, from its start on; it may end early. SourceUnreadable."""

        def ask(connection: Connection) -> list[Status]:
            return [status for name, status in connection.status(within) if name == context]

        return self._with_connection(ask, f"cannot be mapped at byte {within.offset_bytes}")

    def close(self) -> None:
        """Close all connections; may be called twice."""
        self._closed.set()
        with self._changed:
            free = [*self._free]
            self._free.clear()
            self._count -= len(free)
        for connection in free:
            connection.close()

    def _with_connection(self, work: Callable[[Connection], _T], failure: str) -> _T:
        retries = 0
        while True:
            try:
                with self._lend() as connection:
                    return work(connection)
            except Refused as error:
                raise SourceUnreadable(f"{self._place} {failure}: {error}") from error
            except ConnectionLost as error:
                retries += 1
                is_closed = self._closed.wait(self._effort.retry_wait_s * 2 ** (retries - 1) if retries > 1 else 0)
                if is_closed or retries > self._effort.retries_max:
                    raise SourceUnreadable(f"{self._place} {failure}: {error}") from error

    @contextmanager
    def _lend(self) -> Iterator[Connection]:
        connection = self._take()
        try:
            yield connection
        except BaseException:
            # Answers to what is still in flight would be taken for answers to what is asked next.
            connection.abandon()
            self._let_go(None)
            raise
        self._let_go(connection)

    def _take(self) -> Connection:
        with self._changed:
            while True:
                if self._free:
                    return self._free.pop()
                if self._count < self._count_max:
                    self._count += 1
                    break
                if not self._changed.wait(self._effort.timeout_s):
                    raise ConnectionLost("no connection became free in time")
        try:
            return self._checked(self._connect())
        except BaseException as error:
            self._let_go(None)
            if isinstance(error, Refused | ConnectionLost) and self._has_others():
                return self._take()
            raise

    def _has_others(self) -> bool:
        """Be content with the connections that there are, if there are any: the server may allow no more."""
        with self._changed:
            if self._count:
                self._count_max = self._count
            return bool(self._count)

    def _let_go(self, connection: Connection | None) -> None:
        with self._changed:
            if connection is None:
                self._count -= 1
            elif self._closed.is_set():
                self._count -= 1
                connection.close()
            else:
                self._free.append(connection)
            self._changed.notify()

    def _connect(self) -> Connection:
        return Connection(self._place, self._contexts, tls=self._tls, timeout_s=self._effort.timeout_s)

    def _checked(self, connection: Connection) -> Connection:
        found = connection.export.size_bytes
        if found != self.export.size_bytes:
            connection.close()
            raise SourceChanged(f"{self._place} now has {found} bytes, it had {self.export.size_bytes}")
        return connection

    def check(self) -> None:
        """SourceChanged unless a new connection finds an export of the same size; SourceMissing, SourceUnreadable."""
        try:
            if self.export.is_multi_conn:
                self._checked(self._connect()).close()
            else:
                self._exchange()
        except (ConnectionLost, Refused) as error:
            raise SourceMissing(f"{self._place}: {error}") from error

    def _exchange(self) -> None:
        """Make a new connection in place of one that there is: the server may take no second one."""
        self._take().close()
        try:
            connection = self._checked(self._connect())
        except BaseException:
            self._let_go(None)
            raise
        self._let_go(connection)


def _abandon(connections: list[Connection]) -> None:
    for connection in connections:
        connection.abandon()
