"""One store made of several that hold the same objects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from targets.base import Body, ObjectInfo, Target
from targets.errors import InvalidKey, ObjectExists, ObjectNotFound, TargetError, TimedOut, Unavailable, Unsupported
from targets.keys import validate_key

T = TypeVar("T")

_PATIENCE_S = 30.0


class Mirror:
    """Writes to every member and reads from the first that answers.

    A member that fails to write lags behind: ``lagging`` says why, and it is written to no more. With fewer
    than ``quorum`` members left an error of the last one's kind is raised. Once ``quorum`` members have an object,
    the others have ``patience_s`` to store it, then they lag too: whoever hangs keeps nobody waiting.
    Who is ``behind`` from the start is read from if nobody else can be, but not written to. The first of those
    that do not lag decides a conditional put and answers listings. A member that fails to read is asked last
    from then on.
    """

    def __init__(
        self,
        members: Mapping[str, Target],
        *,
        quorum: int = 1,
        behind: Mapping[str, str] | None = None,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self._members = dict(members)
        self._quorum = quorum
        self._patience_s = patience_s
        self.lagging: dict[str, str] = dict(behind or {})
        self._order = [*self.complete, *self.lagging]
        self._failure: TargetError | None = None
        first, *others = [member.capabilities for member in members.values()]
        self.capabilities = replace(
            first,
            name="+".join([first.name, *(one.name for one in others)]),
            conditional_put=all(one.conditional_put for one in [first, *others]),
            object_size_bytes_max=min(one.object_size_bytes_max for one in [first, *others]),
        )

    @property
    def complete(self) -> list[str]:
        """The members that have everything that was written."""
        return [name for name in self._members if name not in self.lagging]

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        if if_absent and not self.capabilities.conditional_put:
            raise Unsupported(f"put {key}: a member of {self.capabilities.name} cannot tell whether it is absent")
        validate_key(key)
        self._check_quorum()
        others = self.complete
        if if_absent:
            while not await self._ask(others.pop(0), lambda member: member.put(key, body, if_absent=True)):
                self._check_quorum()  # It lags now, and the next one decides.
        async with asyncio.TaskGroup() as group:
            asked = {group.create_task(self._ask(name, lambda member: member.put(key, body))): name for name in others}
            await self._await_quorum(asked, stored=int(if_absent))
        self._check_quorum()

    async def _await_quorum(self, asked: Mapping[asyncio.Task[bool], str], *, stored: int) -> None:
        """Return when all have ended, or enough have and the rest is given up."""
        waiting = set(asked)
        while waiting:
            patience_s = self._patience_s if stored >= self._quorum else None
            done, waiting = await asyncio.wait(waiting, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                for task in waiting:
                    task.cancel()  # It lags now, so whether it was stored after all makes no difference.
                    self._lag(asked[task], TimedOut(f"not stored {patience_s:g} s after {stored} others had it"))
                return
            stored += sum(1 for task in done if not task.cancelled() and task.exception() is None and task.result())

    async def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes:
        return await self._read(lambda member: member.get(key, offset=offset, length=length))

    async def get_into(self, key: str, buffer: bytearray | memoryview, *, offset: int = 0) -> None:
        await self._read(lambda member: member.get_into(key, buffer, offset=offset))

    async def head(self, key: str) -> ObjectInfo:
        """Return the key and size, ObjectNotFound unless every member has it that does not lag.

        Who asks means to leave something out because it is there.
        """
        found: list[ObjectInfo] = []

        async def look(member: Target) -> None:
            found.append(await member.head(key))

        for name in self.complete:
            await self._ask(name, look)
        return found[0] if found else await self._read(lambda member: member.head(key))

    async def delete(self, key: str) -> None:
        await self._everywhere(lambda member: member.delete(key))

    async def delete_many(self, keys: Sequence[str]) -> None:
        await self._everywhere(lambda member: member.delete_many(keys))

    def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        return self._members[self._order[0]].list(prefix)

    async def aclose(self) -> None:
        for member in self._members.values():
            await member.aclose()

    async def _ask(self, name: str, work: Callable[[Target], Awaitable[None]]) -> bool:
        """Tell whether the member did it; from the first failure on it lags."""
        try:
            await work(self._members[name])
        except (ObjectExists, ObjectNotFound):
            raise
        except TargetError as error:
            self._lag(name, error)
            return False
        return True

    def _lag(self, name: str, error: TargetError) -> None:
        self.lagging[name] = f"{error.code}: {error}"
        self._failure = error
        self._order.sort(key=lambda member: member in self.lagging)

    def _check_quorum(self) -> None:
        if len(self.complete) < self._quorum:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in self.lagging.items())
            kind = type(self._failure) if self._failure else Unavailable
            raise kind(f"{len(self.complete)} of {self._quorum} copies can be written: {reasons}") from self._failure

    async def _read(self, read: Callable[[Target], Awaitable[T]]) -> T:
        errors: list[TargetError] = []
        for name in [*self._order]:
            try:
                return await read(self._members[name])
            except InvalidKey:
                raise
            except TargetError as error:
                errors.append(error)
                if not isinstance(error, ObjectNotFound):
                    self._order.remove(name)
                    self._order.append(name)
        # Only if nobody has it is it lost: who could not be asked may have it.
        raise next((error for error in errors if not isinstance(error, ObjectNotFound)), errors[0])

    async def _everywhere(self, work: Callable[[Target], Awaitable[None]]) -> None:
        """Ask all, also after one has failed, whose error is then raised."""
        errors = []
        for member in self._members.values():
            try:
                await work(member)
            except TargetError as error:
                errors.append(error)
        if errors:
            raise errors[0]
