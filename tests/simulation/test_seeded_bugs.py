"""The simulator finds bugs: each of these, put in on purpose, where what it needs happens often.

A seed is one of many lives, and any change of the service gives others. So none is named here: each bug is found in a
third of the seeds or more (docs/simulation.md), and is looked for until it is.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from backupd.simulation.happenings import often
from backupd.simulation.simulate import Outcome, simulate
from tests.support import sabotage

DAYS = 10
SEEDS = range(60)  # Of bugs that two seeds of three miss, all of these miss one in thirty thousand million.


BUGS: list[tuple[Callable[[], AbstractContextManager[None]], list[str], str]] = [
    (sabotage.fence_ignored, ["back_up", "pause"], "was published by a worker that had lost the job"),
    (sabotage.published_before_packs, ["crash_in_a_backup"], "is lost or damaged on"),
    (sabotage.rollback_forgotten, ["back_up", "back_up_in_vain"], "is wrong in chunks"),
    (sabotage.epoch_ignored, ["collect_meanwhile"], "is lost or damaged on"),
    (sabotage.forwards_believed, ["back_up", "collect_by_a_stale_listing"], "is lost or damaged on"),
    (sabotage.replications_unnoticed, ["replicate"], ", and that backup is deleted"),
]


def first_failure(what_is_seen: str, *happenings: str) -> Outcome | None:
    outcomes = (simulate(seed, days=DAYS, happen=often(*happenings)) for seed in SEEDS)
    return next((outcome for outcome in outcomes if what_is_seen in outcome.failure), None)


@pytest.mark.parametrize(("bug", "happenings", "what_is_seen"), BUGS, ids=[bug.__name__ for bug, _, _ in BUGS])
def test_bug_is_found(
    bug: Callable[[], AbstractContextManager[None]], happenings: list[str], what_is_seen: str
) -> None:
    with bug():
        found = first_failure(what_is_seen, *happenings)
    assert found is not None
    assert found.last_events


@pytest.mark.parametrize("happening", ["crash_in_a_backup", "back_up_in_vain", "collect_meanwhile"])
def test_what_finds_a_bug_finds_none_where_there_is_none(happening: str) -> None:
    outcome = simulate(0, days=DAYS, happen=often(happening))
    assert not outcome.failure, "\n".join(["the last events:", *outcome.last_events, outcome.failure])
