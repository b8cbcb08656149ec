"""What was found wrong with an object, written down."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import uuid4

from backupd.condition import Damage
from backupd.jobs.repositories_of import RepositoryScope
from backupd.jobs.resources import Resources
from backupd.pipeline.inspection import Finding
from backupd.repository import layout


async def record(
    resources: Resources,
    scope: RepositoryScope,
    key: str,
    findings: Sequence[Finding],
    *,
    size_bytes: int | None = None,
) -> int:
    """Write down what an inspection found, and return how much was wrong before; backups rely on it no more."""
    now = resources.clock.now()
    found = [damage_of(scope, key, one, now) for one in findings]
    before = await resources.catalog.condition.scrubbed(scope, key, now, found, size_bytes=size_bytes)
    if findings and (pack_id := layout.pack_id(key)) is not None:
        await resources.repositories.forget_pack(pack_id)
    return before


def damage_of(scope: RepositoryScope, key: str, finding: Finding, now: datetime, *, is_lost: bool = False) -> Damage:
    """Return a finding as the catalog keeps it."""
    return Damage(
        id=str(uuid4()),
        target=scope.target,
        project=scope.project,
        is_encrypted=scope.is_encrypted,
        key=key,
        message=finding.message,
        found_at=now,
        offset=finding.offset,
        length=finding.length,
        frame_id=None if finding.frame_id is None else finding.frame_id.hex(),
        is_lost=is_lost,
    )
