"""The simulator finds bugs: each of these, put in on purpose, by a seed that is among the first."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from backupd.simulation.simulate import Outcome, simulate
from tests.support import sabotage

DAYS = 30
TRIES = 4  # Of seeds from the one that finds it today: any change of the service may let another one find it.


def first_failure(seeds: range) -> Outcome | None:
    outcomes = (simulate(seed, days=DAYS) for seed in seeds)
    return next((outcome for outcome in outcomes if outcome.failure), None)


@pytest.mark.parametrize(
    ("bug", "first_seed", "what_is_seen"),
    [
        (sabotage.fence_ignored, 0, "was published by a worker that had lost the job"),
        (sabotage.published_before_packs, 6, "is lost or damaged on"),
        (sabotage.rollback_forgotten, 17, "is wrong in chunks"),
        (sabotage.epoch_ignored, 4, "is lost or damaged on"),
    ],
)
def test_bug_is_found(bug: Callable[[], AbstractContextManager[None]], first_seed: int, what_is_seen: str) -> None:
    with bug():
        found = first_failure(range(first_seed, first_seed + TRIES))
    assert found is not None
    assert what_is_seen in found.failure
    assert found.last_events
