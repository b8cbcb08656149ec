"""The disk that a daemon backs up to real stores, slowly enough for something to happen in the middle."""

from __future__ import annotations

from typing import Any

from tests.support.daemon import Daemon
from tests.support.volumes import random_bytes

MIB = 1024 * 1024
CONTENT = random_bytes(20 * MIB + 77, seed=1)
PACE_BYTES_PER_S = 8 * MIB  # So that something is still to be done when a server fails.


async def add_disk(daemon: Daemon, target: str, **policy: Any) -> str:
    """Register a volume of that content whose backups go to a target; return its name."""
    path = daemon.place.sources / "disk"
    path.write_bytes(CONTENT)
    return await daemon.add_volume(path, target=target, **policy)


async def check_restore(daemon: Daemon, backup_id: str, content: bytes = CONTENT, **request: Any) -> None:
    """Restore, and compare every byte."""
    path = daemon.place.restores / f"{backup_id}-{request.get('target', 'any')}"
    await daemon.restore({"id": backup_id}, path, **request)
    assert path.read_bytes() == content
