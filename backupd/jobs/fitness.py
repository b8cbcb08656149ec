"""Whether a target may be written to: what its last probe says, or a short one now."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from backupd.catalog.store import Catalog
from backupd.clock import Clock
from backupd.errors import TargetUnfit
from backupd.model import TargetProbe
from targets.base import Target
from targets.errors import (
    Final,
    Misconfigured,
    ObjectNotFound,
    PermissionDenied,
    QuotaExceeded,
    TargetError,
    TargetGone,
    TargetReadOnly,
    Unavailable,
)
from targets.probe import (
    ALL_CHECKS,
    ESSENTIAL_CHECKS,
    ESSENTIALS,
    Outcome,
    Plan,
    ProbeReport,
    ServerClock,
    UnknownReport,
    doubts,
    probe,
    unfit,
)
from targets.wrappers.single_writer import SingleWriter

_PAUSES_S = (5.0, 15.0)
_ABSENT = "probe/absent"
# What keeps a store from being asked until somebody does something about it.
_LASTING = {
    kind.code: kind for kind in (Final, Misconfigured, PermissionDenied, QuotaExceeded, TargetGone, TargetReadOnly)
}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbedTarget:
    """A target as it is probed.

    ``target`` is the one that jobs use; ``open_again`` opens the same store over connections of its own, for
    who closes it. ``writer`` is there when the operator has said that this daemon alone writes.
    """

    url: str
    target: Target
    open_again: Callable[[], Awaitable[Target]]
    server_clock: ServerClock | None = None
    writer: SingleWriter | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitness:
    """Refuses targets that would break a promise, and chooses how an object is stored only if it is absent."""

    catalog: Catalog
    clock: Clock
    targets: Mapping[str, ProbedTarget]
    _locks: dict[str, asyncio.Lock] = field(default_factory=dict)
    _fit: set[str] = field(default_factory=set)

    async def require(self, name: str) -> None:
        """Raise TargetUnfit when a probe saw something that breaks a promise; probe if nobody has yet.

        As ``probe`` when it cannot be found out. Kinds of targets of which every server does the same are
        not probed.
        """
        probed = self.targets.get(name)
        if probed is None or name in self._fit:
            return
        async with self._locks.setdefault(name, asyncio.Lock()):
            if name in self._fit:
                return
            report = await self._known(name, probed)
            if report is None and probed.target.capabilities.servers_differ:
                report = await self._probe_patiently(name)
            if report is not None:
                self._apply(name, report)
            self._fit.add(name)

    async def _probe_patiently(self, name: str) -> ProbeReport:
        """Probe once more, and once more, when a store was too busy to answer everything in time."""
        with suppress(ObjectNotFound):  # One that does not answer at all is not worth asking everything.
            await self.targets[name].target.head(_ABSENT)
        for pause_s in _PAUSES_S:
            try:
                return await self.probe(name, ESSENTIALS)
            except Unavailable as error:
                _log.warning("%s; asking once more in %g s", error, pause_s)
                await self.clock.sleep(pause_s)
        return await self.probe(name, ESSENTIALS)

    async def probe(self, name: str, plan: Plan) -> ProbeReport:
        """Probe a target and keep the report.

        When what promises hang on cannot be found out: the error that stands in the way, such as PermissionDenied,
        if it will come again; else Unavailable.
        """
        probed = self.targets[name]
        again = await probed.open_again()
        try:
            report = await probe(
                probed.target,
                others=None if probed.writer is not None else again,
                monotonic=self.clock.monotonic,
                wall_s=lambda: self.clock.now().timestamp(),
                server_clock=probed.server_clock,
                sleep=self.clock.sleep,
                plan=plan,
                checks=ESSENTIAL_CHECKS if plan is ESSENTIALS else ALL_CHECKS,
            )
        finally:
            await again.aclose()
        if report.undecided:
            raise _in_the_way(name, report)
        await self._note(name, report)
        return report

    async def _note(self, name: str, report: ProbeReport) -> None:
        now, url = self.clock.now(), self.targets[name].url
        await self.catalog.store_probe(TargetProbe(name, url, now, report.to_json()))
        self._fit.discard(name)

    def _apply(self, name: str, report: ProbeReport) -> None:
        """Use what a report says. TargetUnfit."""
        writer = self.targets[name].writer
        if writer is not None and not writer.looks_first:  # Then it was the store itself that was asked.
            writer.looks_first = not report.has_conditional_put
        for doubt in doubts(report):
            _log.warning("target %s: %s", name, doubt)
        if reasons := unfit(report, single_writer=writer is not None):
            raise TargetUnfit(f"target {name} cannot be written to: " + "; ".join(reasons))

    async def _known(self, name: str, probed: ProbedTarget) -> ProbeReport | None:
        stored = await self.catalog.probe(name)
        if stored is None or stored.url != probed.url:
            return None
        try:
            return ProbeReport.from_json(stored.report)
        except UnknownReport:
            return None  # Of another version: the target is probed again.


def _in_the_way(name: str, report: ProbeReport) -> TargetError:
    said = f"target {name} could not be probed: "
    for check in report.checks:
        if check.outcome is not Outcome.OK and (kind := _LASTING.get(check.code or "")):
            return kind(said + check.detail)
    return Unavailable(said + "; ".join(f"{check.name}: {check.detail}" for check in report.undecided))
