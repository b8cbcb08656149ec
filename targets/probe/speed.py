"""How fast a store is: each size with each concurrency, within a number of bytes and a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import product

from targets.errors import TargetError
from targets.probe.parallel import at_a_time
from targets.probe.report import Speed
from targets.probe.site import Site

_ROUNDS = 8  # Operations of each that work at the same time, if the bytes allow it.


async def speeds(site: Site) -> tuple[tuple[Speed, ...], tuple[str, ...]]:
    """Return what was measured, and what was not and why."""
    plan = site.plan
    cells = [*product(plan.speed_sizes_bytes, plan.speed_concurrencies)]
    if not cells:
        return (), ()
    # All objects have the same content, and all reads end in the same buffer: it takes no more memory than two.
    body = await site.body(max(plan.speed_sizes_bytes))
    measuring = _Measuring(site, body, bytearray(len(body)), site.monotonic() + plan.speed_duration_s_max)
    for size_bytes, concurrency in cells:
        await measuring.cell(size_bytes, concurrency, plan.speed_bytes_max // len(cells))
    return tuple(measuring.speeds), tuple(measuring.not_measured)


@dataclass(slots=True)
class _Measuring:
    site: Site
    body: bytes
    landing: bytearray
    ends_at_s: float
    sent_bytes: int = 0
    speeds: list[Speed] = field(default_factory=list)
    not_measured: list[str] = field(default_factory=list)

    async def cell(self, size_bytes: int, concurrency: int, share_bytes: int) -> None:
        """Write, read and remove objects of one size, ``concurrency`` at a time."""
        name = f"{size_bytes} bytes, {concurrency} at a time"
        count = max(concurrency, min(concurrency * _ROUNDS, share_bytes // max(size_bytes, 1)))
        if (reason := self._reason_against(size_bytes, count)) is not None:
            self.not_measured.append(f"{name}: {reason}")
            return
        keys = [self.site.key(f"speed-{size_bytes}-{concurrency}-{number}") for number in range(count)]
        stored: list[str] = []
        with memoryview(self.body)[:size_bytes] as body, memoryview(self.landing)[:size_bytes] as landing:

            async def put(key: str) -> None:
                self.sent_bytes += size_bytes
                await self.site.target.put(key, body)
                stored.append(key)

            try:
                remaining_s = self.ends_at_s - self.site.monotonic() + self.site.plan.check_timeout_s
                async with asyncio.timeout(remaining_s) as deadline:
                    await self._measure("put", size_bytes, concurrency, keys, put)
                    if stored:
                        get = self.site.target.get_into
                        await self._measure("get", size_bytes, concurrency, stored, lambda key: get(key, landing))
            except TimeoutError:
                if not deadline.expired():
                    raise
                self.not_measured.append(f"{name}: no answer within {remaining_s:.0f} s")
        with suppress(TargetError):  # At the end it is tried again, and told.
            await self.site.target.delete_many(keys)

    def _reason_against(self, size_bytes: int, count: int) -> str | None:
        plan = self.site.plan
        if size_bytes > self.site.target.capabilities.object_size_bytes_max:
            return "larger than an object may be"
        if self.sent_bytes + count * size_bytes > plan.speed_bytes_max:
            return f"more than the {plan.speed_bytes_max} bytes that may be sent"
        if self.site.monotonic() >= self.ends_at_s:
            return f"after the {plan.speed_duration_s_max:g} s that it may take"
        return None

    async def _measure(
        self,
        operation: str,
        size_bytes: int,
        concurrency: int,
        keys: list[str],
        work: Callable[[str], Awaitable[object]],
    ) -> None:
        latencies_s: list[float] = []
        errors: list[TargetError] = []
        monotonic = self.site.monotonic

        async def timed(key: str) -> None:
            begun_s = monotonic()
            try:
                await work(key)
            except TargetError as error:
                errors.append(error)
            else:
                latencies_s.append(monotonic() - begun_s)

        started_s = monotonic()
        await at_a_time(concurrency, self._in_time(keys), timed)
        duration_s = monotonic() - started_s
        if not latencies_s:
            why = errors[0] if errors else "no time left"
            self.not_measured.append(f"{operation} of {size_bytes} bytes, {concurrency} at a time: {why}")
            return
        latencies_s.sort()
        self.speeds.append(
            Speed(
                operation=operation,
                size_bytes=size_bytes,
                concurrency=concurrency,
                operations=len(latencies_s),
                errors=len(errors),
                duration_s=duration_s,
                bytes_per_s=len(latencies_s) * size_bytes / duration_s if duration_s else 0.0,
                latency_p50_s=_percentile(latencies_s, 50),
                latency_p90_s=_percentile(latencies_s, 90),
                latency_p99_s=_percentile(latencies_s, 99),
                latency_max_s=latencies_s[-1],
            )
        )

    def _in_time(self, keys: list[str]) -> Iterator[str]:
        for key in keys:
            if self.site.monotonic() >= self.ends_at_s:
                return
            yield key


def _percentile(ascending: list[float], percent: int) -> float:
    """Return the smallest value that so many percent of all do not exceed."""
    return ascending[max(0, -(-len(ascending) * percent // 100) - 1)]
