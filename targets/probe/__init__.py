"""What a store really does, measured over the protocol of a target alone."""

from __future__ import annotations

from targets.probe.fitness import doubts, unfit
from targets.probe.plan import FULL, Plan
from targets.probe.report import CheckResult, Outcome, ProbeReport, Promise, Speed, UnknownReport
from targets.probe.run import essentials, probe
from targets.probe.server_clock import ServerClock

__all__ = [
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
