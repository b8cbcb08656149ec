"""The restore job: a backup to a new file, onto a device, or into a volume of block storage.

Started again after a crash it begins anew, unless the file had got its name already. When asked to, it restores what
is left of a damaged backup: zeros stand where nothing is left, also on a device, so that nothing which was there
before passes for data, and its result lists those ranges.
"""

from __future__ import annotations

from functools import partial

from backupd.jobs.resources import Resources
from backupd.jobs.run import JobRun
from backupd.jobs.stored import open_backup, other_copies
from backupd.model import Job
from backupd.pipeline.progress import ProgressMeter
from backupd.pipeline.restore import RestorePipeline
from backupd.pipeline.salvage import DamagedRanges
from chunker.destinations.base import Destination
from chunker.destinations.file import was_finished
from chunker.destinations.open import open_destination, open_existing


class RestoreBody:
    """Runs restore jobs."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    async def __call__(self, job: Job, run: JobRun) -> None:
        """Write the backup to the path that the request names."""
        workers = self._resources.workers
        _, repository, manifest = await open_backup(self._resources, job)
        run.progress = progress = ProgressMeter(self._resources.clock)
        if "volume_id" not in job.request and await workers.run(was_finished, job.request["path"], restore_id=job.id):
            progress.total_bytes = manifest.size_bytes
            progress.add(manifest.size_bytes)
            return
        damaged = DamagedRanges() if job.request.get("allow_damaged") else None

        async def tell_damage() -> None:
            if damaged is not None:
                await self._resources.catalog.condition.store_result(job.id, job.fence, _result(damaged))

        others = await other_copies(self._resources, job)
        destination = await workers.opened(partial(self._open, job, manifest.size_bytes), lambda made: made.abort())
        pipeline = RestorePipeline(
            manifest=manifest,
            repository=repository,
            destination=destination,
            workers=workers,
            budget=self._resources.budget(),
            progress=progress,
            others=others,
            damaged=damaged,
            before_finish=tell_damage,
        )
        await pipeline.run()

    def _open(self, job: Job, size_bytes: int) -> Destination:
        path, overwrite = job.request["path"], job.request["overwrite"]
        if "volume_id" in job.request:
            self._resources.check_overwritable(path)
            return open_existing(path, size_bytes)
        # Once more, because what the path leads to may have changed since the request.
        self._resources.check_destination(path, overwrite)
        return open_destination(path, size_bytes, restore_id=job.id, overwrite=overwrite)


def _result(damaged: DamagedRanges) -> dict[str, object]:
    ranges = [list(one) for one in damaged.ranges]
    return {"damaged_bytes": damaged.damaged_bytes, "damaged_ranges": ranges, "reasons": damaged.reasons}
