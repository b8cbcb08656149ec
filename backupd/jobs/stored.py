"""What jobs on a stored backup have in common: finding it."""

from __future__ import annotations

import logging

from backupd.errors import BackupdError, CorruptObject
from backupd.jobs.resources import Resources
from backupd.model import Backup, CopyState, Job
from backupd.repository import layout
from backupd.repository.manifest import Manifest
from backupd.repository.repository import Repository
from targets.errors import TargetError

_log = logging.getLogger(__name__)


async def open_backup(resources: Resources, job: Job) -> tuple[Backup, Repository, Manifest]:
    """Return the job's backup, its repository and its manifest; CorruptObject when the manifest is lost.

    Of the targets that have all of it the first that answers is read from, or only the one that the request
    names.
    """
    backup = await resources.catalog.backup(job.project, job.of_backup)
    complete = await _complete(resources, job, backup)
    repository = await resources.repositories.open(backup.project, complete, is_encrypted=backup.is_encrypted)
    manifest = await repository.manifest(backup.id)
    if manifest is None:
        raise CorruptObject(f"{layout.manifest(backup.id)} is lost: the target has no such object")
    return backup, repository, manifest


async def other_copies(resources: Resources, job: Job) -> list[Repository]:
    """Return the repository of each target that has all of a backup, by itself, when there are several."""
    backup = await resources.catalog.backup(job.project, job.of_backup)
    complete = await _complete(resources, job, backup)
    found: list[Repository] = []
    for target in complete if len(complete) > 1 else ():
        try:
            one = await resources.repositories.open(backup.project, [target], is_encrypted=backup.is_encrypted)
        except (TargetError, BackupdError) as error:
            _log.warning("backup %s: target %s is not read from: %s", backup.id, target, error)
            continue
        found.append(one)
    return found


async def _complete(resources: Resources, job: Job, backup: Backup) -> list[str]:
    if (only := job.request.get("target")) is not None:
        return [only]
    copies = await resources.catalog.copies(backup.id)
    complete = [copy.target for copy in copies if copy.state is CopyState.COMPLETE]
    complete.sort(key=lambda target: target != backup.target)  # The first copy first.
    return complete
