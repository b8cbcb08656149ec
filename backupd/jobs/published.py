"""What the catalog keeps of a backup that was published."""

from __future__ import annotations

from backupd.model import Audit, BackupResult, Statistics
from backupd.repository.manifest import Manifest


def result_of(published: Manifest, audit: Audit | None) -> BackupResult:
    """Return what a manifest says, with the audit of the attempt that stored it, if that was this one."""
    return BackupResult(
        size_bytes=published.size_bytes,
        parent_id=published.parent_id,
        full_read_reason=published.full_read_reason,
        statistics=Statistics(**published.statistics),
        audit=audit,
    )
