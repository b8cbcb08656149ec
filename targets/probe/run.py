"""Which checks there are, and a whole probe of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

from targets.base import Target
from targets.errors import TargetError, TimedOut
from targets.probe.aborts import aborted_put, put_in_progress
from targets.probe.answer import Check, unknown
from targets.probe.conditional import conditional_put, conditional_put_race
from targets.probe.content import content, head_size, ranges
from targets.probe.deletion import delete, delete_many
from targets.probe.listing import listing_complete
from targets.probe.plan import ESSENTIALS, FULL, Plan
from targets.probe.report import CheckResult, ProbeReport, Promise
from targets.probe.server_clock import ServerClock
from targets.probe.site import Site, cleared
from targets.probe.skew import clock_skew
from targets.probe.speed import speeds
from targets.probe.visibility import (
    listing_after_delete,
    listing_after_write,
    read_after_overwrite,
    read_after_write,
    writable,
)
from targets.wrappers.observe import Observe

_LEFT_SHOWN_MAX = 20

# Objects are never overwritten, and nothing relies on one that was deleted being gone: no promise breaks by these.
ESSENTIAL_CHECKS = (
    Check(name="writable", ask=writable),
    Check(name="read_after_write", ask=read_after_write, promise=Promise.EXACT),
    Check(name="conditional_put", ask=conditional_put, promise=Promise.ONCE),
    Check(name="conditional_put_race", ask=conditional_put_race, promise=Promise.ONCE, needs_conditional_put=True),
    Check(name="content", ask=content, promise=Promise.EXACT),
    Check(name="ranges", ask=ranges, promise=Promise.EXACT),
    Check(name="head_size", ask=head_size, promise=Promise.EXACT),
    Check(name="listing_after_write", ask=listing_after_write, promise=Promise.EXACT),
    Check(name="delete", ask=delete),
)
FURTHER_CHECKS = (
    Check(name="read_after_overwrite", ask=read_after_overwrite),
    Check(name="listing_after_delete", ask=listing_after_delete),
    Check(name="delete_many", ask=delete_many),
    Check(name="listing_complete", ask=listing_complete, promise=Promise.EXACT),
    Check(name="aborted_put", ask=aborted_put, promise=Promise.CRASH),
    Check(name="put_in_progress", ask=put_in_progress, promise=Promise.CRASH),
    Check(name="clock_skew", ask=clock_skew),
)


ALL_CHECKS = (*ESSENTIAL_CHECKS, *FURTHER_CHECKS)


async def essentials(
    target: Target,
    *,
    monotonic: Callable[[], float],
    others: Target | None = None,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    random: Random | None = None,
) -> ProbeReport:
    """Ask what a promise hangs on: some thirty small requests, for before the first write to a target.

    ``others``: the same store through a second target, as another process would have it; leave it out where only
    one process is to write (``SingleWriter``). All objects lie below ``probe/`` and are removed at the end, also
    after an error and a cancellation. Raises no TargetError: what fails is part of the report.
    """
    return await probe(
        target,
        monotonic=monotonic,
        others=others,
        sleep=sleep,
        random=random,
        plan=ESSENTIALS,
        checks=ESSENTIAL_CHECKS,
    )


async def probe(
    target: Target,
    *,
    monotonic: Callable[[], float],
    others: Target | None = None,
    wall_s: Callable[[], float] | None = None,
    server_clock: ServerClock | None = None,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    random: Random | None = None,
    plan: Plan = FULL,
    checks: tuple[Check, ...] = ALL_CHECKS,
) -> ProbeReport:
    """Ask everything and measure the speed, as much of it as ``plan`` says; else as ``essentials``.

    ``server_clock``: the driver below the wrappers, if it is one; ``wall_s``: this machine's time since 1970.
    """
    seen = Observe(target, monotonic=monotonic)
    seen_too = Observe(others, monotonic=monotonic) if others is not None else None
    site = Site(
        target=seen,
        others=seen_too,
        plan=plan,
        monotonic=monotonic,
        sleep=sleep,
        random=random or Random(),  # noqa: S311 - content of objects, protects nothing
        server_clock=server_clock or (target if isinstance(target, ServerClock) else None),
        wall_s=wall_s,
    )
    started_s = monotonic()
    async with cleared(site):
        asked = [c for c in checks if target.capabilities.conditional_put or not c.needs_conditional_put]
        results = [await _ask(check, site) for check in asked]
        measured, not_measured = await speeds(site)
    counted = [one.counters for one in (seen, seen_too) if one is not None]
    return ProbeReport(
        target=target.capabilities.name,
        conditional_put=target.capabilities.conditional_put,
        checks=tuple(results),
        speeds=measured,
        not_measured=not_measured,
        requests=sum(counters.requests for counters in counted),
        sent_bytes=sum(counters.bytes_out for counters in counted),
        received_bytes=sum(counters.bytes_in for counters in counted),
        duration_s=monotonic() - started_s,
        left=site.left[:_LEFT_SHOWN_MAX],
        left_count=len(site.left),
    )


async def _ask(check: Check, site: Site) -> CheckResult:
    timeout_s = site.plan.check_timeout_s
    try:
        async with asyncio.timeout(timeout_s) as deadline:
            answer = await check.ask(site)
    except TargetError as error:
        answer = unknown(f"it could not be found out: {error}", code=error.code)
    except TimeoutError:
        if not deadline.expired():
            raise  # Not ours: a driver let one of its own through.
        answer = unknown(f"it could not be found out within {timeout_s:g} s", code=TimedOut.code)
    return CheckResult(
        name=check.name,
        outcome=answer.outcome,
        detail=answer.detail,
        promise=check.promise,
        code=answer.code,
        evidence=dict(answer.evidence),
    )
