"""Packs that any job finds lost or damaged are forgotten, so that the next backup stores anew what they held.

They are also the first that are scrubbed next, which finds out what exactly is wrong with them.
"""

from __future__ import annotations

import logging

from backupd.catalog.store import Catalog
from backupd.errors import CorruptObject
from backupd.jobs.failure import causes
from backupd.jobs.run import JobRun
from backupd.jobs.worker import JobBody
from backupd.model import Job
from backupd.repository import layout
from backupd.repository.opened import Repositories

_log = logging.getLogger(__name__)


def forgetting(body: JobBody, repositories: Repositories, catalog: Catalog | None = None) -> JobBody:
    """Return ``body`` with every pack that it fails of taken out of the chunk indexes."""

    async def run_and_forget(job: Job, run: JobRun) -> None:
        try:
            await body(job, run)
        except Exception as error:
            found = {one.pack_id for one in causes(error) if isinstance(one, CorruptObject)}
            for pack_id in filter(None, found):
                _log.warning("job %s: no later backup relies on %s", job.id, layout.pack(pack_id))
                await repositories.forget_pack(pack_id)
                if catalog is None:
                    continue
                prefixes = [layout.prefix(job.project, is_encrypted=is_encrypted) for is_encrypted in (True, False)]
                keys = [prefix + layout.pack(pack_id) for prefix in prefixes]
                await catalog.condition.suspect(repositories.target_names, keys)
            raise

    return run_and_forget
