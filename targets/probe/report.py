"""What a probe found out, as values and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

VERSION = 1
Number = int | float | None


class UnknownReport(ValueError):
    """A document is not the JSON of a report, or of a version that is not known here."""


class Outcome(StrEnum):
    """``unknown``: it could not be found out, which is neither good nor bad."""

    OK = "ok"
    BROKEN = "broken"
    UNKNOWN = "unknown"


class Promise(StrEnum):
    """The promises of the README that a store can break."""

    EXACT = "P1 exact"
    CRASH = "P4 crash"
    ONCE = "P5 once"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """One question and its answer. ``promise``: what a ``broken`` breaks; ``code``: of the error that came."""

    name: str
    outcome: Outcome
    detail: str
    promise: Promise | None = None
    code: str | None = None
    evidence: Mapping[str, Number] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """How fast ``operation`` is with objects of one size, so many at a time; latencies of single operations."""

    operation: str
    size_bytes: int
    concurrency: int
    operations: int
    errors: int
    duration_s: float
    bytes_per_s: float
    latency_p50_s: float
    latency_p90_s: float
    latency_p99_s: float
    latency_max_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeReport:
    """All of it. ``conditional_put``: what the target says of itself; ``left``: keys that could not be removed.

    ``left_count`` has all of these, ``left`` the first. ``not_measured`` says which speeds are missing and why.
    """

    target: str
    conditional_put: bool
    checks: tuple[CheckResult, ...]
    speeds: tuple[Speed, ...] = ()
    not_measured: tuple[str, ...] = ()
    requests: int
    sent_bytes: int
    received_bytes: int
    duration_s: float
    left: tuple[str, ...] = ()
    left_count: int = 0

    def check(self, name: str) -> CheckResult | None:
        """Return the answer to one question, None if it was not asked."""
        return next((check for check in self.checks if check.name == name), None)

    @property
    def broken(self) -> tuple[CheckResult, ...]:
        """What the store does wrong."""
        return tuple(check for check in self.checks if check.outcome is Outcome.BROKEN)

    @property
    def undecided(self) -> tuple[CheckResult, ...]:
        """What a promise depends on and could not be found out: probe again before relying on it."""
        return tuple(check for check in self.checks if check.outcome is Outcome.UNKNOWN and check.promise)

    @property
    def has_conditional_put(self) -> bool:
        """Tell whether the target says that it has one and it was seen to work, so that a protocol may use it."""
        asked = [check for check in self.checks if check.promise is Promise.ONCE]
        return self.conditional_put and bool(asked) and all(check.outcome is Outcome.OK for check in asked)

    def to_json(self) -> dict[str, Any]:
        """Return what ``json.dumps`` takes."""
        return {"version": VERSION, **asdict(self)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> ProbeReport:
        """Return the report of ``to_json``. UnknownReport for any other document."""
        try:
            if document["version"] != VERSION:
                raise UnknownReport(f"report of a probe: version {document['version']!r}, expected {VERSION}")
            named = {name: value for name, value in document.items() if name != "version"}
            for name in ("not_measured", "left"):
                named[name] = tuple(named[name])
            named["checks"] = tuple(_check(check) for check in named["checks"])
            named["speeds"] = tuple(Speed(**speed) for speed in named["speeds"])
            return cls(**named)
        except (KeyError, TypeError, AttributeError) as error:
            raise UnknownReport(f"report of a probe: {error}") from error


def _check(named: Mapping[str, Any]) -> CheckResult:
    try:
        promise = None if named["promise"] is None else Promise(named["promise"])
        outcome = Outcome(named["outcome"])
    except ValueError as error:
        raise UnknownReport(f"report of a probe: {error}") from error
    return CheckResult(**{**named, "outcome": outcome, "promise": promise})
