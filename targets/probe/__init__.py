"""What a store really does, measured over the protocol of a target alone."""

from __future__ import annotations

from targets.probe.fitness import doubts, unfit
from targets.probe.plan import ESSENTIALS, FULL, Plan
from targets.probe.report import CheckResult, Outcome, ProbeReport, Promise, Speed, UnknownReport
from targets.probe.run import ALL_CHECKS, ESSENTIAL_CHECKS, essentials, probe
from targets.probe.server_clock import ServerClock

__all__ = [
    "ALL_CHECKS",
    "ESSENTIALS",
    "ESSENTIAL_CHECKS",
    "FULL",
    "CheckResult",
    "Outcome",
    "Plan",
    "ProbeReport",
    "Promise",
    "ServerClock",
    "Speed",
    "UnknownReport",
    "doubts",
    "essentials",
    "probe",
    "unfit",
]
