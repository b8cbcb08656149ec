from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from backupd.errors import InvalidRequest
from backupd.retention import Candidate, RetentionPolicy, judge

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)  # A Monday, in week 10.


def at(text: str, *, is_held: bool = False) -> Candidate:
    """Return a backup that is named by its time."""
    return Candidate(id=text, created_at=datetime.fromisoformat(text).replace(tzinfo=UTC), is_held=is_held)


def kept(policy: RetentionPolicy, *backups: Candidate) -> dict[str, tuple[str, ...]]:
    """Return id -> reasons of what is kept."""
    return {v.backup.id: v.reasons for v in judge(policy, backups, now=NOW) if v.is_kept}


HISTORY = (
    "2024-12-30 23:00",  # A Monday: in week 1 of 2025.
    "2024-12-31 23:59",
    "2025-01-01 00:00",
    "2025-12-31 10:00",
    "2026-01-31 10:00",
    "2026-02-22 23:59",  # A Sunday: the end of week 8.
    "2026-02-23 00:00",
    "2026-02-27 10:00",
    "2026-02-27 20:00",
    "2026-03-01 22:00",  # A Sunday: the end of week 9.
    "2026-03-02 09:15",
    "2026-03-02 11:05",
    "2026-03-02 11:55",
)


@pytest.mark.parametrize(
    ("rule", "count", "expected"),
    [
        ("last", 1, ["2026-03-02 11:55"]),
        ("last", 3, ["2026-03-02 11:55", "2026-03-02 11:05", "2026-03-02 09:15"]),
        ("hourly", 2, ["2026-03-02 11:55", "2026-03-02 09:15"]),
        ("daily", 3, ["2026-03-02 11:55", "2026-03-01 22:00", "2026-02-27 20:00"]),
        ("weekly", 3, ["2026-03-02 11:55", "2026-03-01 22:00", "2026-02-22 23:59"]),
        ("monthly", 3, ["2026-03-02 11:55", "2026-02-27 20:00", "2026-01-31 10:00"]),
        ("yearly", 2, ["2026-03-02 11:55", "2025-12-31 10:00"]),
        ("yearly", 99, ["2026-03-02 11:55", "2025-12-31 10:00", "2024-12-31 23:59"]),
    ],
)
def test_a_rule_keeps_the_newest_of_each_of_its_last_periods(rule: str, count: int, expected: list[str]) -> None:
    policy = RetentionPolicy(**{f"keep_{rule}": count})
    assert kept(policy, *map(at, HISTORY)) == dict.fromkeys(expected, (rule,))


def test_a_week_across_the_new_year_is_one_week() -> None:
    assert [*kept(RetentionPolicy(keep_weekly=9), *map(at, HISTORY[:3]))] == ["2025-01-01 00:00"]


def test_every_rule_that_keeps_a_backup_is_named() -> None:
    assert kept(RetentionPolicy(keep_last=1, keep_daily=2, keep_monthly=1), *map(at, HISTORY)) == {
        "2026-03-02 11:55": ("last", "daily", "monthly"),
        "2026-03-01 22:00": ("daily",),
    }


def test_what_is_younger_than_a_duration_is_kept_to_the_second() -> None:
    policy = RetentionPolicy(keep_within_s=3600)
    backups = at("2026-03-02 11:30"), at("2026-03-02 11:00"), at("2026-03-02 10:59:59")
    assert kept(policy, *backups) == {"2026-03-02 11:30": ("within",), "2026-03-02 11:00": ("within",)}


def test_the_newest_is_kept_when_no_rule_keeps_any() -> None:
    assert kept(RetentionPolicy(keep_within_s=1), *map(at, HISTORY)) == {"2026-03-02 11:55": ("newest",)}


def test_a_policy_without_a_rule_keeps_everything() -> None:
    assert set(kept(RetentionPolicy(), *map(at, HISTORY)).values()) == {("the policy has no rule",)}
    assert len(kept(RetentionPolicy(), *map(at, HISTORY))) == len(HISTORY)


def test_a_hold_keeps_a_backup_and_changes_nothing_else() -> None:
    old = at("2020-01-01 00:00", is_held=True), at("2020-01-02 00:00")
    assert kept(RetentionPolicy(keep_last=1), *old, *map(at, HISTORY)) == {
        "2026-03-02 11:55": ("last",),
        "2020-01-01 00:00": ("held",),
    }


def test_a_backup_from_the_future_is_kept_and_takes_no_place() -> None:
    assert kept(RetentionPolicy(keep_last=1), at("2026-03-02 12:00:01"), *map(at, HISTORY)) == {
        "2026-03-02 12:00:01": ("from the future",),
        "2026-03-02 11:55": ("last",),
    }


def test_periods_are_those_of_utc() -> None:
    late = datetime(2026, 3, 1, 0, 30, tzinfo=timezone(timedelta(hours=2)))  # February in UTC.
    backups = Candidate(id="late", created_at=late), at("2026-02-28 22:00"), at("2026-03-01 00:10")
    assert [*kept(RetentionPolicy(keep_monthly=2), *backups)] == ["2026-03-01 00:10", "late"]


def test_verdicts_come_newest_first_and_none_is_left_out() -> None:
    verdicts = judge(RetentionPolicy(keep_last=1), map(at, HISTORY), now=NOW)
    assert [verdict.backup.id for verdict in verdicts] == [*reversed(HISTORY)]


def test_no_backups_no_verdicts() -> None:
    assert judge(RetentionPolicy(keep_last=1), [], now=NOW) == ()


@pytest.mark.parametrize("value", [-1, 1.5, "3", True, None, 10**9])
def test_number_that_makes_no_sense_is_refused_by_name(value: Any) -> None:
    with pytest.raises(InvalidRequest, match="keep_daily"):
        RetentionPolicy(keep_daily=value)


def test_time_without_a_zone_and_a_backup_twice_are_refused() -> None:
    naive = Candidate(id="1", created_at=datetime(2026, 1, 1))  # noqa: DTZ001 - that is what is refused
    with pytest.raises(ValueError, match="zone"):
        judge(RetentionPolicy(), [naive, at(HISTORY[0])], now=NOW)
    with pytest.raises(ValueError, match="once"):
        judge(RetentionPolicy(), [at(HISTORY[0]), at(HISTORY[0])], now=NOW)
