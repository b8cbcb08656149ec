"""What a check says, and the check itself: a name, a promise and the question."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from targets.errors import TargetError
from targets.probe.report import Number, Outcome, Promise
from targets.probe.site import Site

Evidence = Mapping[str, Number]


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome, a clause for people ("it ..."), the numbers behind it, and the code of the error that came."""

    outcome: Outcome
    detail: str
    evidence: Evidence
    code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One question. What ``ask`` raises is an answer too: ``unknown``, since it did not come to what it looks at."""

    name: str
    ask: Callable[[Site], Awaitable[Answer]]
    promise: Promise | None = None
    needs_conditional_put: bool = False


def ok(detail: str, evidence: Evidence | None = None) -> Answer:
    """Return that the store does it right."""
    return Answer(Outcome.OK, detail, evidence or {})


def broken(detail: str, evidence: Evidence | None = None, *, error: TargetError | None = None) -> Answer:
    """Return that the store does it wrong."""
    return Answer(Outcome.BROKEN, detail, evidence or {}, error.code if error else None)


def unknown(detail: str, evidence: Evidence | None = None, *, code: str | None = None) -> Answer:
    """Return that nobody can tell."""
    return Answer(Outcome.UNKNOWN, detail, evidence or {}, code)


def at_once_or_late(what: str, late_s: float | None, wait_s: float) -> Answer:
    """Return ``ok`` for what was so at once, ``broken`` for what was late or never so."""
    if late_s is None:
        return broken(f"{what}, but not within {wait_s:g} s", {"late_s": None, "waited_s": wait_s})
    if late_s > 0:
        return broken(f"{what} only after {late_s:.3f} s", {"late_s": late_s})
    return ok(f"{what} at once", {"late_s": 0.0})
