"""What the operator may say in ``[sources.rbd]``. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from chunker.errors import SourceMisconfigured

_PREFIX = re.compile(r"[A-Za-z0-9_-]{1,40}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RbdOptions:
    """How the cluster is reached, and what of it may be read. The key of the user is where Ceph keeps it."""

    pools: tuple[str, ...]  # "POOL" for its images outside of namespaces, "POOL/NAMESPACE" for those of one.
    conf: str = "/etc/ceph/ceph.conf"
    user: str = "admin"
    keyring: str | None = None
    timeout_s: float = 30.0
    snapshot_prefix: str = "backupd"
    snapshots_kept: int = 1
    fast_diff: bool = True

    def __post_init__(self) -> None:
        for pool in self.pools:
            if not all(pool.split("/")) or pool.count("/") > 1:
                raise SourceMisconfigured(f"option pools: {pool!r}, expected POOL or POOL/NAMESPACE")
        if not 1 <= self.timeout_s <= 600:
            raise SourceMisconfigured(f"option timeout_s: {self.timeout_s}, expected 1 to 600")
        if not _PREFIX.fullmatch(self.snapshot_prefix):
            raise SourceMisconfigured(
                f"option snapshot_prefix: {self.snapshot_prefix!r}, expected 1 to 40 letters, digits, - and _"
            )
        if not 1 <= self.snapshots_kept <= 8:
            raise SourceMisconfigured(f"option snapshots_kept: {self.snapshots_kept}, expected 1 to 8")
