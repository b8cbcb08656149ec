"""Which backups of a volume are kept, which may be deleted, and why: policy, backups, time -> verdicts. Pure.

- Every rule looks at all backups by itself, and a backup is kept when any rule keeps it. So no rule, and no hold,
  ever makes another one keep less.
- A rule of periods keeps the newest backup in each of the last N periods that have one; periods without a backup
  are not counted. Periods are those of UTC, weeks those of ISO 8601 (Monday to Sunday).
- ``keep_within_s`` counts from now.
- A policy with no rule keeps everything. One with any rule keeps the newest backup, whatever else it says: a
  policy thins backups out, but never deletes the last one. Who wants that deletes the backup itself.
- A backup from the future is kept, and takes no place in any rule: some clock was wrong, and nobody knows which.

Only backups that can be restored belong in here: one that failed would take the place of one that did not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta

from backupd.errors import InvalidRequest

KEEP_COUNT_MAX = 100_000
KEEP_WITHIN_S_MAX = 1000 * 366 * 86_400

HELD = "held"
FUTURE = "from the future"
NEWEST = "newest"
NO_RULE = "the policy has no rule"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPolicy:
    """How many are kept by each rule; 0: the rule is not used. InvalidRequest names the field that is wrong."""

    keep_last: int = 0
    keep_hourly: int = 0
    keep_daily: int = 0
    keep_weekly: int = 0
    keep_monthly: int = 0
    keep_yearly: int = 0
    keep_within_s: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value, most = getattr(self, field.name), KEEP_COUNT_MAX
            if field.name == "keep_within_s":
                most = KEEP_WITHIN_S_MAX
            if type(value) is not int or not 0 <= value <= most:
                raise InvalidRequest(f"{field.name}: {value!r}, expected an integer from 0 to {most}")

    @property
    def has_rule(self) -> bool:
        """Tell whether anything at all is asked for."""
        return any(getattr(self, field.name) for field in fields(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One backup as retention sees it. ``is_held``: somebody said that it stays."""

    id: str
    created_at: datetime
    is_held: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of one backup. ``reasons``: every rule that keeps it; none when it may be deleted."""

    backup: Candidate
    reasons: tuple[str, ...]

    @property
    def is_kept(self) -> bool:
        return bool(self.reasons)


def judge(policy: RetentionPolicy, backups: Iterable[Candidate], *, now: datetime) -> tuple[Verdict, ...]:
    """Return a verdict for each backup, the newest first. ValueError for a time without a zone or an id twice."""
    newest_first = _sorted(backups, now)
    past = [backup for backup in newest_first if backup.created_at <= now]
    reasons: dict[str, list[str]] = {backup.id: [] for backup in newest_first}
    for backup in newest_first:
        if backup.is_held:
            reasons[backup.id].append(HELD)
        if backup.created_at > now:
            reasons[backup.id].append(FUTURE)
        elif not policy.has_rule:
            reasons[backup.id].append(NO_RULE)
    for backup, reason in _kept_by_rules(policy, past, now):
        reasons[backup.id].append(reason)
    if past and not reasons[past[0].id]:
        reasons[past[0].id].append(NEWEST)
    return tuple(Verdict(backup, tuple(reasons[backup.id])) for backup in newest_first)


def _sorted(backups: Iterable[Candidate], now: datetime) -> list[Candidate]:
    given = [*backups]
    if any(moment.utcoffset() is None for moment in (now, *(backup.created_at for backup in given))):
        raise ValueError("retention: expected times with a zone")
    if len({backup.id for backup in given}) < len(given):
        raise ValueError("retention: expected each backup once")
    return sorted(given, key=lambda backup: (backup.created_at, backup.id), reverse=True)


def _kept_by_rules(policy: RetentionPolicy, past: list[Candidate], now: datetime) -> Iterator[tuple[Candidate, str]]:
    yield from ((backup, "last") for backup in past[: policy.keep_last])
    for name, period in _PERIODS.items():
        count = getattr(policy, f"keep_{name}")
        yield from ((backup, name) for backup in _newest_of_each(past, period, count))
    if policy.keep_within_s:
        within = timedelta(seconds=policy.keep_within_s)
        yield from ((backup, "within") for backup in past if now - backup.created_at <= within)


def _newest_of_each(
    newest_first: list[Candidate], period: Callable[[datetime], tuple[int, ...]], count: int
) -> list[Candidate]:
    found: dict[tuple[int, ...], Candidate] = {}
    for backup in newest_first:
        if len(found) >= count:
            break  # The last one of the periods has begun; its newest backup is in.
        found.setdefault(period(backup.created_at.astimezone(UTC)), backup)
    return [*found.values()]


def _week(moment: datetime) -> tuple[int, ...]:
    year, week, _ = moment.isocalendar()
    return year, week


_PERIODS: dict[str, Callable[[datetime], tuple[int, ...]]] = {
    "hourly": lambda moment: (moment.year, moment.month, moment.day, moment.hour),
    "daily": lambda moment: (moment.year, moment.month, moment.day),
    "weekly": _week,
    "monthly": lambda moment: (moment.year, moment.month),
    "yearly": lambda moment: (moment.year,),
}
