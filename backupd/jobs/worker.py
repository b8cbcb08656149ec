"""The supervisor: claims jobs, keeps their leases, and ends them as what they became."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum, auto

from backupd.catalog.store import Catalog
from backupd.clock import Clock
from backupd.errors import CatalogError, LeaseLost
from backupd.jobs.failure import failure_of
from backupd.jobs.run import JobCancelled, JobRun
from backupd.model import AttemptState, Failure, Job, JobKind, JobState, Progress

JobBody = Callable[[Job, JobRun], Awaitable[None]]
LOST_ATTEMPTS_MAX = 5
POLL_INTERVAL_S = 5.0
_CANCELLED = Failure(JobCancelled.code, "cancelled on request")
_log = logging.getLogger(__name__)


class _End(Enum):
    """Why a body is cancelled before it is done."""

    CANCELLED = auto()
    INTERRUPTED = auto()
    LOST = auto()


class _Running:
    """A job that this worker holds."""

    def __init__(self, job: Job, run: JobRun) -> None:
        self.job = job
        self.run = run
        self.nudged = asyncio.Event()
        self.end: _End | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self, group: asyncio.TaskGroup, body: JobBody) -> asyncio.Task[None]:
        self._task = group.create_task(_call(body, self.job, self.run), name=f"job-{self.job.id}")
        if self.end is not None:
            self._task.cancel()
        return self._task

    def cancel(self, end: _End) -> None:
        """Cancel the body, once, or as soon as it starts."""
        if self.end is None:
            self.end = end
            if self._task is not None:
                self._task.cancel()


class Worker:
    """Runs the jobs of the catalog, ``running_jobs_max`` at a time.

    ``owner`` is the name that it holds leases under; nobody else uses it at the same time.
    """

    def __init__(
        self,
        catalog: Catalog,
        clock: Clock,
        owner: str,
        bodies: Mapping[JobKind, JobBody],
        *,
        running_jobs_max: int,
        lease_s: float,
        shutdown_timeout_s: float,
        poll_interval_s: float = POLL_INTERVAL_S,
    ) -> None:
        self._catalog = catalog
        self._clock = clock
        self._owner = owner
        self._bodies = bodies
        self._slots = asyncio.Semaphore(running_jobs_max)
        self._lease_s = lease_s
        self._shutdown_timeout_s = shutdown_timeout_s
        self._poll_interval_s = poll_interval_s
        # By job and fence: who lost a lease may claim the same job again before the body has ended.
        self._running: dict[tuple[str, int], _Running] = {}
        self._woken = asyncio.Event()
        self._ended = asyncio.Event()
        self._is_stopping = False
        self._is_interrupting = False

    async def run(self) -> None:
        """Claim and run jobs until ``stop``; what this owner held when it died last is resumed first."""
        await self._catalog.release_leases(self._owner)
        async with asyncio.TaskGroup() as attempts:
            while not self._is_stopping:
                await self._slots.acquire()  # Before the claim: never hold a job that cannot run yet.
                job = await self._claim()
                if job is not None:
                    attempts.create_task(self._attempt(job), name=f"attempt-{job.id}")
                    continue
                self._slots.release()
                if not self._is_stopping:
                    await pause(self._clock, self._woken, self._poll_interval_s)

    def wake(self) -> None:
        """Look for new jobs and for cancellations now."""
        self._woken.set()
        for running in self._running.values():
            running.nudged.set()

    def live_progress(self, job_id: str) -> Progress | None:
        """Return how far a job is that runs here."""
        attempts = [running for (running_id, _), running in self._running.items() if running_id == job_id]
        return attempts[-1].run.progress.snapshot() if attempts else None

    async def stop(self) -> None:
        """Claim no more, let running jobs end for a while, then interrupt the others, to be resumed later."""
        self._is_stopping = True
        self._woken.set()
        deadline_s = self._clock.monotonic() + self._shutdown_timeout_s
        while self._running and (left_s := deadline_s - self._clock.monotonic()) > 0:
            await pause(self._clock, self._ended, left_s)
        self._is_interrupting = True  # Also what is being claimed at this moment.
        for running in self._running.values():
            running.cancel(_End.INTERRUPTED)

    async def _claim(self) -> Job | None:
        if self._is_stopping:
            return None
        try:
            return await self._catalog.claim_job(self._owner, self._lease_s)
        except CatalogError as error:
            _log.error("no job can be claimed: %s", error)
            return None

    async def _attempt(self, job: Job) -> None:
        run = JobRun(self._catalog, job, self._lease_s)
        running = self._running[job.id, job.fence] = _Running(job, run)
        _log.info("job %s (%s of backup %s): attempt %d", job.id, job.kind, job.backup_id, job.fence)
        if self._is_interrupting:
            running.cancel(_End.INTERRUPTED)
        try:
            await self._supervise(running)
        except LeaseLost as error:
            _log.warning("%s", error)
        except Exception:  # noqa: BLE001 - the boundary of one job: the others go on
            # Only the catalog can fail here. The lease runs out, and the job is tried again.
            _log.exception("job %s: its end could not be written down", job.id)
        finally:
            del self._running[job.id, job.fence]
            self._slots.release()
            self._woken.set()
            self._ended.set()

    async def _supervise(self, running: _Running) -> None:
        job = running.job
        state, failure = await self._outcome(running)
        if running.end is _End.LOST:
            return
        if running.end is _End.INTERRUPTED and state is JobState.CANCELLED:
            await self._catalog.release_job(job.id, job.fence)
            _log.info("job %s is interrupted and will be resumed", job.id)
            return
        progress = running.run.progress.snapshot()
        await self._catalog.finish_job(job.id, job.fence, state, failure, progress)
        _log.info("job %s %s%s", job.id, state, f": {failure.message}" if failure else "")

    async def _outcome(self, running: _Running) -> tuple[JobState, Failure | None]:
        """Run the body beside its heartbeat and return what became of it."""
        lost = [a for a in await self._catalog.attempts(running.job.id) if a.state is AttemptState.LOST]
        if len(lost) >= LOST_ATTEMPTS_MAX:
            message = f"{len(lost)} attempts ended with the death of the daemon; not tried again"
            return JobState.FAILED, Failure("job.crash_loop", message)
        error: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as group:
                heartbeat = group.create_task(self._heartbeat(running))
                body = running.start(group, self._bodies[running.job.kind])
                body.add_done_callback(lambda _: heartbeat.cancel())
                if running.job.state is JobState.CANCELLING:
                    running.cancel(_End.CANCELLED)
        except BaseExceptionGroup as errors:
            error = errors
        if error is None and not body.cancelled():
            return JobState.SUCCEEDED, None
        if running.end is not None or _is_cancellation(error):
            return JobState.CANCELLED, _CANCELLED
        # Without an error the body was cancelled by something in itself.
        return JobState.FAILED, _logged_failure(running.job, error or asyncio.CancelledError())

    async def _heartbeat(self, running: _Running) -> None:
        """Renew the lease until cancelled; end the body when the job was cancelled or taken over."""
        while True:
            await pause(self._clock, running.nudged, self._lease_s / 3)
            try:
                if await running.run.heartbeat() is JobState.CANCELLING:
                    running.cancel(_End.CANCELLED)
            except LeaseLost as error:
                _log.warning("%s", error)
                running.cancel(_End.LOST)
            except CatalogError as error:
                # The fence keeps a lease that runs out meanwhile from doing harm.
                _log.error("job %s: no heartbeat: %s", running.job.id, error)


async def _call(body: JobBody, job: Job, run: JobRun) -> None:
    await body(job, run)


def _is_cancellation(error: BaseException | None) -> bool:
    return isinstance(error, BaseExceptionGroup) and error.subgroup(JobCancelled) is not None


def _logged_failure(job: Job, error: BaseException) -> Failure:
    failure = failure_of(error)
    is_expected = failure.code != "internal"
    _log.log(logging.DEBUG if is_expected else logging.ERROR, "job %s failed", job.id, exc_info=error)
    return failure


async def pause(clock: Clock, event: asyncio.Event, seconds: float) -> None:
    """Wait until ``event`` is set, which is then cleared, but no longer than ``seconds``."""
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(_set(event)), group.create_task(clock.sleep(seconds))
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
    event.clear()


async def _set(event: asyncio.Event) -> None:
    await event.wait()
