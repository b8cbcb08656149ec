"""RADOS targets for tests: short time-outs and small parts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from targets.rados import Namespace, RadosOptions, RadosTarget
from tests.support.servers.ceph import POOL, Ceph
from tests.support.volumes import random_bytes

KIB = 1024
PART_BYTES = 64 * KIB
LARGE = random_bytes(5 * PART_BYTES + 1)  # Six parts.
TIMEOUT_S = 2


@asynccontextmanager
async def opened(ceph: Ceph, namespace: str, *, pool: str = POOL) -> AsyncIterator[RadosTarget]:
    """Open a target and close it at the end."""
    options = RadosOptions(
        conf=str(ceph.conf), operation_timeout_s=TIMEOUT_S, connect_timeout_s=TIMEOUT_S, part_bytes=PART_BYTES
    )
    target = RadosTarget(Namespace(pool, namespace), options)
    try:
        yield target
    finally:
        await target.aclose()
