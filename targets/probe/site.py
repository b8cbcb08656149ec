"""Where a probe works: keys of its own below one prefix, all of which are removed at the end."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice
from random import Random

from targets.base import ObjectInfo, Target, closing, exists
from targets.errors import PermissionDenied, TargetError, TargetGone, TargetReadOnly
from targets.probe.plan import Plan
from targets.probe.server_clock import ServerClock

PREFIX = "probe"
_PIECE_BYTES = 256 * 1024
_FIRST_POLL_S = 0.05
_POLL_S_MAX = 1.0
_REMOVED_AT_A_TIME = 500
_CONFIRMED_MAX = 100
# After these there is no use in asking for each key by itself.
_REFUSALS = (PermissionDenied, TargetReadOnly, TargetGone)

_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class Site:
    """What every check is given. ``others``: the same store over other connections, as another process sees it.

    ``wall_s``: seconds since 1970 by this machine's clock; None: nothing is compared with it.
    """

    target: Target
    others: Target | None
    plan: Plan
    monotonic: Callable[[], float]
    sleep: Callable[[float], Awaitable[object]]
    random: Random
    server_clock: ServerClock | None = None
    wall_s: Callable[[], float] | None = None
    name: str = field(default_factory=lambda: secrets.token_hex(8))
    left: tuple[str, ...] = ()
    _keys: set[str] = field(default_factory=set)

    @property
    def prefix(self) -> str:
        """What every key of this probe begins with: no folder of its own, which a file system would keep."""
        return f"{PREFIX}/{self.name}-"

    def key(self, name: str) -> str:
        """Return a key that is removed at the end, whatever becomes of its object."""
        key = self.prefix + name
        self._keys.add(key)
        return key

    async def body(self, size_bytes: int) -> bytes:
        """Return random bytes, which no store can compress or know, without holding up the loop."""
        drawn = bytearray()
        while len(drawn) < size_bytes:
            drawn += self.random.randbytes(min(_PIECE_BYTES, size_bytes - len(drawn)))
            await asyncio.sleep(0)
        return bytes(drawn)

    async def late_s(self, seen: Callable[[], Awaitable[bool]]) -> float | None:
        """Return how late ``seen`` came true, 0 if at once, None if not within ``wait_s`` of the plan."""
        started_s = self.monotonic()
        poll_s = _FIRST_POLL_S
        if await seen():
            return 0.0
        while self.monotonic() - started_s < self.plan.wait_s:
            await self.sleep(poll_s)
            poll_s = min(_POLL_S_MAX, poll_s * 2)
            if await seen():
                return self.monotonic() - started_s
        return None

    async def has(self, key: str, *, seen_by: Target | None = None) -> bool:
        """Tell whether the object is there."""
        return await exists(seen_by or self.target, key)

    async def listed(self, prefix: str) -> list[ObjectInfo]:
        """Return what is listed, at most twice what this probe ever wrote and some more."""
        found: list[ObjectInfo] = []
        async with closing(self.target.list(prefix)) as listing:
            async for info in listing:
                found.append(info)
                if len(found) > 2 * len(self._keys) + 100:
                    break
        return found

    async def remove(self) -> None:
        """Remove every object of this probe and note in ``left`` what could not be removed. No TargetError."""
        self.left = tuple(sorted(self._keys))  # Until it is known better, which a second cancellation may prevent.
        try:
            async with asyncio.timeout(self.plan.remove_timeout_s):
                failed = await self._remove(sorted(self._keys))
                self.left = await self._still_there(failed)
        except TimeoutError:
            _log.warning("the probe could not look after its objects within %g s", self.plan.remove_timeout_s)

    async def _remove(self, keys: list[str]) -> list[str]:
        """Remove the keys; return those for which that failed."""
        failed = []
        for some in _batches(keys):
            try:
                await self.target.delete_many(some)
            except _REFUSALS:
                failed += some
            except TargetError:
                failed += [key for key in some if not await self._removed_alone(key)]
        return failed

    async def _removed_alone(self, key: str) -> bool:
        try:
            await self.target.delete(key)
        except TargetError:
            return False
        return True

    async def _still_there(self, failed: list[str]) -> tuple[str, ...]:
        """Look what is left, also of what came late; a listing may be late itself, so it is not believed."""
        try:
            found = sorted({info.key for info in await self.listed(self.prefix) if info.key.startswith(self.prefix)})
        except TargetError:
            found = []  # Then what could not be removed must do.
        late = [key for key in found if key not in failed]
        failed = sorted({*failed, *await self._remove(late)})
        suspects = sorted({*failed, *late})
        gone = [key for key in suspects[:_CONFIRMED_MAX] if await self._is_gone(key)]
        return tuple(key for key in suspects if key not in set(gone))

    async def _is_gone(self, key: str) -> bool:
        try:
            return not await self.has(key)
        except TargetError:
            return False


@asynccontextmanager
async def cleared(site: Site) -> AsyncIterator[Site]:
    """Remove what was written, also after an error and after a cancellation."""
    try:
        yield site
        await site.remove()  # Cancelled in here, it begins once more.
    except BaseException as error:
        await site.remove()
        if site.left:
            error.add_note(f"the probe left {len(site.left)} objects below {site.prefix}")
        raise
    finally:
        if site.left:
            _log.warning("the probe left %d objects below %s", len(site.left), site.prefix)


def _batches(keys: Iterable[str]) -> Iterable[list[str]]:
    remaining = iter(keys)
    while some := [*islice(remaining, _REMOVED_AT_A_TIME)]:
        yield some
