from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from targets.rados import RadosTarget
from tests.support.rados_targets import opened
from tests.support.servers.ceph import Ceph


@pytest.fixture
def namespace(ceph: Ceph) -> str:
    return ceph.namespace()


@pytest.fixture
async def target(ceph: Ceph, namespace: str) -> AsyncIterator[RadosTarget]:
    async with opened(ceph, namespace) as target:
        yield target
