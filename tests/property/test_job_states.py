"""Jobs under three workers that crash, stall and race, against a model of a few lines.

The model does not use the tables of transitions nor any query of the catalog, so that it stays an oracle.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from backupd.catalog import backups, jobs, policy
from backupd.catalog.tables import metadata
from backupd.errors import Conflict, LeaseLost
from backupd.model import Failure, Job, JobKind, JobState, Progress
from tests.support.builders import PROJECT, RESULT, START, make_backup, make_backup_type, make_job, make_volume

LEASE_S = 30.0
OWNERS = st.sampled_from(["node-a", "node-b", "node-c"])


@dataclass(slots=True)
class Known:
    """What the model knows of one job."""

    backup_id: str
    order: int
    state: str = "queued"
    fence: int = 0
    owner: str = ""
    lease_ends_s: float = 0.0
    is_publishing: bool = False
    is_published: bool = False
    attempts: list[str] = field(default_factory=list)

    @property
    def is_held(self) -> bool:
        return self.state in ("running", "cancelling")

    def end(self, state: str) -> None:
        self.state = "succeeded" if self.is_published else state
        if self.attempts and self.attempts[-1] == "running":
            self.attempts[-1] = self.state


@dataclass(frozen=True, slots=True)
class Claim:
    """What a worker believes to hold, for as long as it lives."""

    job_id: str
    fence: int


class JobsOfThreeWorkers(RuleBasedStateMachine):
    claims: Bundle[Claim] = Bundle("claims")
    queued: Bundle[str] = Bundle("queued")

    def __init__(self) -> None:
        super().__init__()
        self.engine = create_engine("sqlite://", poolclass=StaticPool)
        metadata.create_all(self.engine)
        self.now_s = 0.0
        self.known: dict[str, Known] = {}
        self.type = make_backup_type()
        self.do(policy.add_backup_type, self.type)

    def teardown(self) -> None:
        self.engine.dispose()

    def do(self, work: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        with self.engine.begin() as connection:
            return work(connection, *arguments, **options)

    def now(self) -> Any:
        return START + timedelta(seconds=self.now_s)

    def expect_lease(self, claim: Claim, work: Callable[..., Any], *arguments: Any, **options: Any) -> bool:
        """Do a fenced write; it must be refused exactly when the job is no longer that worker's."""
        job = self.known[claim.job_id]
        if job.is_held and job.fence == claim.fence:
            self.do(work, *arguments, **options)
            return True
        with pytest.raises(LeaseLost):
            self.do(work, *arguments, **options)
        return False

    @rule(target=queued)
    def add(self) -> str:
        volume = make_volume(self.type)
        self.do(policy.add_volume, volume)
        backup = make_backup(volume, created_at=START + timedelta(seconds=len(self.known)))
        job = make_job(backup, JobKind.BACKUP)
        self.do(backups.create, backup, job)
        self.known[job.id] = Known(backup.id, len(self.known))
        return job.id

    @rule(seconds=st.sampled_from([1.0, LEASE_S / 2, LEASE_S]))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(target=claims, owner=OWNERS)
    def claim(self, owner: str) -> Any:
        free = [
            (job.order, job_id)
            for job_id, job in self.known.items()
            if job.state == "queued" or (job.is_held and job.lease_ends_s <= self.now_s)
        ]
        claimed: Job | None = self.do(jobs.claim, owner, lease_s=LEASE_S, kinds=None, now=self.now())
        if claimed is None:
            assert free == []
            return multiple()
        job = self.known[claimed.id]
        assert (job.order, claimed.id) == min(free)
        if job.attempts and job.attempts[-1] == "running":
            job.attempts[-1] = "lost"
        job.attempts.append("running")
        job.state = "running" if job.state == "queued" else job.state
        job.fence, job.owner, job.lease_ends_s = job.fence + 1, owner, self.now_s + LEASE_S
        return Claim(claimed.id, job.fence)

    @rule(claim=claims)
    def beat(self, claim: Claim) -> None:
        options = {"lease_s": LEASE_S, "progress": Progress(1, 2), "now": self.now()}
        if self.expect_lease(claim, jobs.heartbeat, claim.job_id, claim.fence, **options):
            self.known[claim.job_id].lease_ends_s = self.now_s + LEASE_S

    @rule(claim=claims)
    def begin_publish(self, claim: Claim) -> None:
        if self.expect_lease(claim, jobs.begin_publish, claim.job_id, claim.fence):
            job = self.known[claim.job_id]
            job.is_publishing = job.is_publishing or job.state == "running"

    @rule(claim=claims)
    def publish(self, claim: Claim) -> None:
        job = self.known[claim.job_id]
        options: dict[str, Any] = {"job_id": claim.job_id, "fence": claim.fence, "result": RESULT, "now": self.now()}
        options["lagging"] = ()
        if job.is_published and job.is_held and job.fence == claim.fence:
            with pytest.raises(Conflict):
                self.do(backups.publish, job.backup_id, **options)
        elif self.expect_lease(claim, backups.publish, job.backup_id, **options):
            job.is_published = True

    @rule(claim=claims, state=st.sampled_from([JobState.FAILED, JobState.CANCELLED, JobState.SUCCEEDED]))
    def finish(self, claim: Claim, state: JobState) -> None:
        job = self.known[claim.job_id]
        if state is JobState.SUCCEEDED and not job.is_published:
            return  # A body returns only after it has published.
        options = {"state": state, "failure": Failure("a", "b"), "progress": Progress(), "now": self.now()}
        if self.expect_lease(claim, jobs.finish, claim.job_id, claim.fence, **options):
            job.end(state)

    @rule(claim=claims)
    def give_back(self, claim: Claim) -> None:
        if self.expect_lease(claim, jobs.release, claim.job_id, claim.fence, self.now()):
            job = self.known[claim.job_id]
            job.lease_ends_s = self.now_s
            job.attempts[-1] = "interrupted"

    @rule(owner=OWNERS)
    def restart(self, owner: str) -> None:
        held = [job for job in self.known.values() if job.is_held and job.owner == owner]
        held = [job for job in held if job.lease_ends_s > self.now_s]
        assert self.do(jobs.release_leases, owner, self.now()) == len(held)
        for job in held:
            job.lease_ends_s = self.now_s

    @rule(job_id=consumes(queued))
    def cancel(self, job_id: str) -> None:
        job = self.known[job_id]
        if job.state == "queued":
            assert self.do(jobs.request_cancel, PROJECT, job_id, self.now()) is JobState.CANCELLED
            job.end("cancelled")
        elif job.is_held and not job.is_publishing:
            assert self.do(jobs.request_cancel, PROJECT, job_id, self.now()) is JobState.CANCELLING
            job.state = "cancelling"
        else:
            with pytest.raises(Conflict):
                self.do(jobs.request_cancel, PROJECT, job_id, self.now())

    @invariant()
    def the_catalog_is_as_the_model_says(self) -> None:
        for job_id, known in self.known.items():
            job = self.do(jobs.one, job_id)
            assert (job.state, job.fence) == (known.state, known.fence)
            assert [attempt.state for attempt in self.do(jobs.attempts_of, job_id)] == known.attempts

    @invariant()
    def a_backup_is_available_exactly_when_it_was_published(self) -> None:
        for known in self.known.values():
            unpublished = "error" if known.state in ("failed", "cancelled") else "creating"
            state = self.do(backups.one, known.backup_id).state
            assert state == ("available" if known.is_published else unpublished)

    @invariant()
    def a_job_has_ended_well_exactly_when_its_backup_is_available(self) -> None:
        for known in self.known.values():
            if known.state in ("succeeded", "failed", "cancelled"):
                assert (known.state == "succeeded") is known.is_published


def test_jobs_of_three_workers_go_as_the_model_says() -> None:
    limits = settings(max_examples=20, stateful_step_count=30)
    run_state_machine_as_test(JobsOfThreeWorkers, settings=limits)
