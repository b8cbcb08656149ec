"""A pool of a real cluster keeps the contract, however small the parts are."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from targets.base import Target
from targets.rados import Namespace, RadosOptions, RadosTarget
from targets.rados.parts import Split
from targets.testing import Leave, LeavingsContract, TargetContract
from targets.wrappers.faults import Effect, Fault, Faults
from targets.wrappers.prefix import Prefix
from tests.contract.test_targets import limited, retried
from tests.support.servers.ceph import POOL, Ceph


def opened(ceph: Ceph, **options: int) -> RadosTarget:
    return RadosTarget(Namespace(POOL, ceph.namespace()), RadosOptions(conf=str(ceph.conf), **options))  # type: ignore[arg-type] # numbers only


class TestRados(TargetContract):
    @pytest.fixture
    async def target(self, ceph: Ceph) -> AsyncIterator[Target]:
        target = opened(ceph)
        yield target
        await target.aclose()


class TestRadosInParts(TargetContract):
    """Most objects of the suite are larger than a part."""

    @pytest.fixture
    async def target(self, ceph: Ceph) -> AsyncIterator[Target]:
        target = opened(ceph, part_bytes=128 * 1024)
        yield target
        await target.aclose()


class TestRadosLeavings(LeavingsContract):
    """Parts of an object that never got its head."""

    @pytest.fixture
    async def target(self, ceph: Ceph) -> AsyncIterator[RadosTarget]:
        target = opened(ceph, part_bytes=128 * 1024)
        yield target
        await target.aclose()

    @pytest.fixture
    def leave(self, target: RadosTarget) -> Leave:
        async def leave(key: str) -> None:
            split = Split.new(3 * 128 * 1024, 128 * 1024)
            for name in split.names(key)[:2]:
                await target._objects.create("leave", name, memoryview(b"half"))

        return leave


class TestRadosStack(TargetContract):
    """As the daemon builds it, over a target that fails at times."""

    @pytest.fixture
    async def target(self, ceph: Ceph) -> AsyncIterator[Target]:
        faults = (
            Fault(probability=0.2),
            Fault(operation="list", after_objects=3, probability=0.2),
            Fault(effect=Effect.LOST_RESPONSE, probability=0.2),
        )
        target = opened(ceph)
        faulty = Faults(Prefix(target, "project/plain/"), faults, seed=1)
        yield retried(limited(faulty, operations_max=8))
        await target.aclose()
