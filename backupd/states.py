"""What may become of a job, an attempt and a backup: three tables, (state, event) -> state. Pure.

The catalog's conditional updates ask ``before`` which states an event may come in.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Generic, TypeVar

from backupd.errors import Conflict
from backupd.model import AttemptState, BackupState, JobState

S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)


class Machine(Generic[S, E]):
    """One table of transitions; what is not in it cannot happen."""

    def __init__(self, noun: str, transitions: Mapping[tuple[S, E], S]) -> None:
        self._noun = noun
        self.transitions = MappingProxyType(dict(transitions))

    def after(self, state: S, event: E) -> S:
        """Return the state that follows. Conflict when the event cannot come in ``state``."""
        if (state, event) not in self.transitions:
            expected = " or ".join(self.before(event))
            raise Conflict(f"the {self._noun} is {state}, expected {expected} ({event})")
        return self.transitions[state, event]

    def before(self, event: E) -> tuple[S, ...]:
        """Return the states that the event can come in."""
        return tuple(state for state, known in self.transitions if known is event)


class JobEvent(StrEnum):
    """``claimed``: also by the next worker once a lease ran out; ``released``: given back, to be resumed."""

    CLAIMED = "claimed"
    RELEASED = "released"
    CANCEL_REQUESTED = "cancel_requested"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class BackupEvent(StrEnum):
    """``kept``: its deletion was cancelled, or failed, before it had removed anything.

    ``distrusted`` and ``trusted``: an operator's word on a backup that was published.
    """

    PUBLISHED = "published"
    FAILED = "failed"
    DELETE_REQUESTED = "delete_requested"
    KEPT = "kept"
    DELETED = "deleted"
    DISTRUSTED = "distrusted"
    TRUSTED = "trusted"


class AttemptEvent(StrEnum):
    """``lost``: its lease ran out; ``interrupted``: the daemon stopped."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"
    INTERRUPTED = "interrupted"


JOB: Machine[JobState, JobEvent] = Machine(
    "job",
    {
        (JobState.QUEUED, JobEvent.CLAIMED): JobState.RUNNING,
        (JobState.QUEUED, JobEvent.CANCEL_REQUESTED): JobState.CANCELLED,
        (JobState.RUNNING, JobEvent.CLAIMED): JobState.RUNNING,
        (JobState.RUNNING, JobEvent.RELEASED): JobState.RUNNING,
        (JobState.RUNNING, JobEvent.CANCEL_REQUESTED): JobState.CANCELLING,
        (JobState.RUNNING, JobEvent.SUCCEEDED): JobState.SUCCEEDED,
        (JobState.RUNNING, JobEvent.FAILED): JobState.FAILED,
        (JobState.CANCELLING, JobEvent.CLAIMED): JobState.CANCELLING,
        (JobState.CANCELLING, JobEvent.RELEASED): JobState.CANCELLING,
        (JobState.CANCELLING, JobEvent.CANCEL_REQUESTED): JobState.CANCELLING,
        # A request that comes too late: what was published or has failed already stays so.
        (JobState.CANCELLING, JobEvent.SUCCEEDED): JobState.SUCCEEDED,
        (JobState.CANCELLING, JobEvent.FAILED): JobState.FAILED,
        (JobState.CANCELLING, JobEvent.CANCELLED): JobState.CANCELLED,
    },
)

BACKUP: Machine[BackupState, BackupEvent] = Machine(
    "backup",
    {
        (BackupState.CREATING, BackupEvent.PUBLISHED): BackupState.AVAILABLE,
        (BackupState.CREATING, BackupEvent.FAILED): BackupState.ERROR,
        (BackupState.AVAILABLE, BackupEvent.DELETE_REQUESTED): BackupState.DELETING,
        (BackupState.ERROR, BackupEvent.DELETE_REQUESTED): BackupState.DELETING,
        (BackupState.DELETING, BackupEvent.DELETED): BackupState.DELETED,
        # A copy is gone, or nobody knows what is left; deleting it again is all that can be done.
        (BackupState.DELETING, BackupEvent.FAILED): BackupState.ERROR,
        (BackupState.DELETING, BackupEvent.KEPT): BackupState.AVAILABLE,
        (BackupState.AVAILABLE, BackupEvent.DISTRUSTED): BackupState.ERROR,
        # Only for one that was published and is whole.
        (BackupState.ERROR, BackupEvent.TRUSTED): BackupState.AVAILABLE,
    },
)

ATTEMPT: Machine[AttemptState, AttemptEvent] = Machine(
    "attempt",
    {(AttemptState.RUNNING, event): AttemptState(event.value) for event in AttemptEvent},
)
