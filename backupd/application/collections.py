"""Collections: what no backup needs any more is deleted from a target."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from backupd.application.fields import invalid
from backupd.application.targets import Targets
from backupd.catalog.store import Catalog
from backupd.clock import Clock
from backupd.errors import Conflict
from backupd.model import Job, JobKind, JobState


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCollection:
    """A request to collect a target; ``dry_run``: only find out what would go.

    ``forget_writer``: the id of a catalog whose daemons are gone for good, and so are waited for no more.
    """

    dry_run: bool = False
    forget_writer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Collections:
    """Requests collections."""

    catalog: Catalog
    clock: Clock
    targets: Targets
    wake: Callable[[], None]

    async def create(self, project: str, target: str, new: NewCollection) -> Job:
        """Return the job. Raises NotFound, InvalidRequest, or Conflict while the target is being collected."""
        self.targets.one(target)
        if new.forget_writer is not None:
            await self._check_writer(new)
        request: dict[str, Any] = {
            "target": target,
            "is_dry_run": new.dry_run,
            "is_sweep_only": False,
            "forget_writer": new.forget_writer,
        }
        job = Job(str(uuid4()), project, JobKind.COLLECT, None, JobState.QUEUED, self.clock.now(), request)
        if (other := await self.catalog.collections.add_job(job)) is not None:
            raise Conflict(f"target {target} is being collected by job {other}")
        self.wake()
        return job

    async def _check_writer(self, new: NewCollection) -> None:
        if not re.fullmatch(r"[0-9a-f]{32}", new.forget_writer or ""):
            raise invalid("forget_writer", new.forget_writer, "32 hexadecimal digits, as a collection has told them")
        if new.forget_writer == await self.catalog.collections.catalog_id():
            raise invalid("forget_writer", new.forget_writer, "another catalog than that of this daemon")
        if new.dry_run:
            raise invalid("dry_run", new.dry_run, "false, because forgetting a writer changes the target")
