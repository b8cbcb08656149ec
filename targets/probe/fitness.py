"""What a report means for a service that wants to write to the target. Pure."""

from __future__ import annotations

from targets.probe.report import Outcome, ProbeReport, Promise

_ALONE = "if this daemon alone writes there"


def unfit(report: ProbeReport, *, single_writer: bool) -> list[str]:
    """Return why the target must be refused: each reason names a promise that would break and what was seen.

    Empty when it is fit, and as far as nothing could be found out: ``ProbeReport.undecided`` tells these.
    ``single_writer``: the operator promises that nobody else writes there, so that no conditional put is needed.
    """
    reasons = []
    if not report.conditional_put and not single_writer:
        reasons.append(f"{Promise.ONCE} would break: it has no conditional put; set single_writer = true {_ALONE}")
    for check in report.checks:
        if check.outcome is not Outcome.BROKEN or check.promise is None:
            continue
        if check.promise is not Promise.ONCE:
            reasons.append(f"{check.promise} would break: {check.detail}")
        elif not single_writer:
            remedy = f"set conditional_put = false and single_writer = true in the target's section {_ALONE}"
            reasons.append(f"{check.promise} would break: {check.detail}; {remedy}")
    return reasons


def doubts(report: ProbeReport) -> list[str]:
    """Return what breaks no promise, but somebody should know: faults, what is not known, what was left."""
    faults = [f"{check.name}: {check.detail}" for check in report.broken if check.promise is None]
    open_questions = [f"{check.name}: {check.detail}" for check in report.undecided]
    left = [f"{report.left_count} objects of the probe could not be removed"] if report.left_count else []
    return [*faults, *open_questions, *left]
