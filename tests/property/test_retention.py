from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from backupd.retention import Candidate, RetentionPolicy, judge

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
RULES = [field.name for field in fields(RetentionPolicy)]
# Mostly near each other, so that they meet in hours, days and weeks; some in the future.
AGES_S = st.integers(-3600, 6 * 3600) | st.integers(-86_400, 20 * 86_400) | st.integers(0, 5 * 366 * 86_400)
COUNTS = st.integers(0, 5)
POLICIES = st.builds(
    RetentionPolicy,
    **{name: COUNTS for name in RULES if name != "keep_within_s"},
    keep_within_s=st.sampled_from([0, 3600, 86_400, 30 * 86_400]),
)
BACKUPS = st.lists(st.tuples(AGES_S, st.booleans()), max_size=40).map(
    lambda drawn: [
        Candidate(id=f"{number}", created_at=NOW - timedelta(seconds=age_s), is_held=is_held)
        for number, (age_s, is_held) in enumerate(drawn)
    ]
)


def kept(policy: RetentionPolicy, backups: list[Candidate]) -> list[Candidate]:
    return [verdict.backup for verdict in judge(policy, backups, now=NOW) if verdict.is_kept]


@given(POLICIES, BACKUPS)
def test_applying_a_policy_again_deletes_nothing_more(policy: RetentionPolicy, backups: list[Candidate]) -> None:
    once = kept(policy, backups)
    assert kept(policy, once) == once


@given(POLICIES, BACKUPS)
def test_reasons_stay_the_same_once_the_others_are_gone(policy: RetentionPolicy, backups: list[Candidate]) -> None:
    verdicts = [verdict for verdict in judge(policy, backups, now=NOW) if verdict.is_kept]
    assert [*judge(policy, [verdict.backup for verdict in verdicts], now=NOW)] == verdicts


@given(POLICIES, BACKUPS)
def test_the_newest_is_always_kept(policy: RetentionPolicy, backups: list[Candidate]) -> None:
    past = [backup for backup in backups if backup.created_at <= NOW]
    if past:
        assert max(backup.created_at for backup in past) in {backup.created_at for backup in kept(policy, past)}


@given(POLICIES, BACKUPS)
def test_no_more_are_kept_than_the_rules_add_up_to(policy: RetentionPolicy, backups: list[Candidate]) -> None:
    if policy.has_rule:
        within = timedelta(seconds=policy.keep_within_s)
        extra = sum(b.is_held or b.created_at > NOW or (bool(within) and NOW - b.created_at <= within) for b in backups)
        counts = sum(getattr(policy, name) for name in RULES if name != "keep_within_s")
        assert len(kept(policy, backups)) <= max(counts, 1) + extra


@given(POLICIES, BACKUPS)
def test_held_and_future_backups_are_never_deleted(policy: RetentionPolicy, backups: list[Candidate]) -> None:
    assert {b.id for b in backups if b.is_held or b.created_at > NOW} <= {b.id for b in kept(policy, backups)}


@given(POLICIES, BACKUPS, st.randoms())
def test_order_of_the_backups_does_not_matter(
    policy: RetentionPolicy, backups: list[Candidate], random: Random
) -> None:
    shuffled = [*backups]
    random.shuffle(shuffled)
    assert judge(policy, shuffled, now=NOW) == judge(policy, backups, now=NOW)


@given(POLICIES, BACKUPS, st.sampled_from(RULES), st.integers(1, 10))
def test_a_higher_number_never_keeps_less(
    policy: RetentionPolicy, backups: list[Candidate], rule: str, more: int
) -> None:
    if policy.has_rule:  # Without any rule everything is kept.
        higher = replace(policy, **{rule: getattr(policy, rule) + more})
        assert {b.id for b in kept(policy, backups)} <= {b.id for b in kept(higher, backups)}


@given(POLICIES, BACKUPS, st.data())
def test_a_hold_never_makes_anything_else_go(
    policy: RetentionPolicy, backups: list[Candidate], data: st.DataObject
) -> None:
    if backups:
        place = data.draw(st.integers(0, len(backups) - 1))
        held = [replace(b, is_held=True) if number == place else b for number, b in enumerate(backups)]
        assert {b.id for b in kept(policy, backups)} <= {b.id for b in kept(policy, held)}
