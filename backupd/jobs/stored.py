"""What jobs on a stored backup have in common: finding it."""

from __future__ import annotations

from backupd.errors import CorruptObject
from backupd.jobs.resources import Resources
from backupd.model import Backup, CopyState, Job
from backupd.repository import layout
from backupd.repository.manifest import Manifest
from backupd.repository.repository import Repository


async def open_backup(resources: Resources, job: Job) -> tuple[Backup, Repository, Manifest]:
    """Return the job's backup, its repository and its manifest; CorruptObject when the manifest is lost.

    Of the targets that have all of it the first that answers is read from, or only the one that the request
    names.
    """
    backup = await resources.catalog.backup(job.project, job.of_backup)
    copies = await resources.catalog.copies(backup.id)
    complete = [copy.target for copy in copies if copy.state is CopyState.COMPLETE]
    complete.sort(key=lambda target: target != backup.target)  # The first copy first.
    if (only := job.request.get("target")) is not None:
        complete = [only]
    repository = await resources.repositories.open(backup.project, complete, is_encrypted=backup.is_encrypted)
    manifest = await repository.manifest(backup.id)
    if manifest is None:
        raise CorruptObject(f"{layout.manifest(backup.id)} is lost: the target has no such object")
    return backup, repository, manifest
