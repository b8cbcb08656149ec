from __future__ import annotations

import itertools
from typing import Any

import pytest

from backupd.errors import Conflict
from backupd.model import AttemptState, BackupState, JobState
from backupd.states import ATTEMPT, BACKUP, JOB, AttemptEvent, BackupEvent, JobEvent, Machine

MACHINES = [
    (JOB, JobState, JobEvent),
    (BACKUP, BackupState, BackupEvent),
    (ATTEMPT, AttemptState, AttemptEvent),
]


@pytest.mark.parametrize(("machine", "states", "events"), MACHINES)
def test_an_event_happens_as_the_table_says_or_is_refused(machine: Machine[Any, Any], states: Any, events: Any) -> None:
    for state, event in itertools.product(states, events):
        if state in machine.before(event):
            assert machine.after(state, event) is machine.transitions[state, event]
        else:
            with pytest.raises(Conflict, match=rf"is {state}, expected .*\({event}\)"):
                machine.after(state, event)


@pytest.mark.parametrize(("machine", "states", "events"), MACHINES)
def test_every_state_is_reached_and_every_event_can_happen(
    machine: Machine[Any, Any], states: Any, events: Any
) -> None:
    first = next(iter(states))
    assert {first, *machine.transitions.values()} == set(states)
    assert {event for _, event in machine.transitions} == set(events)


def test_nothing_happens_to_a_job_that_has_ended() -> None:
    assert not any(state.is_final for state, _ in JOB.transitions)


def test_every_unfinished_job_can_be_claimed_and_cancelled() -> None:
    unfinished = {state for state in JobState if not state.is_final}
    assert set(JOB.before(JobEvent.CLAIMED)) == set(JOB.before(JobEvent.CANCEL_REQUESTED)) == unfinished


def test_a_claim_does_not_forget_a_cancellation() -> None:
    assert JOB.after(JobState.CANCELLING, JobEvent.CLAIMED) is JobState.CANCELLING


def test_only_publishing_or_taking_back_a_deletion_or_a_distrust_makes_a_backup_available() -> None:
    leading = {event for (_, event), state in BACKUP.transitions.items() if state is BackupState.AVAILABLE}
    assert leading == {BackupEvent.PUBLISHED, BackupEvent.KEPT, BackupEvent.TRUSTED}


def test_a_deleted_backup_stays_deleted() -> None:
    assert not [event for state, event in BACKUP.transitions if state is BackupState.DELETED]
