"""Every target and every wrapper keeps the contract."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from targets.base import Target
from targets.local import LocalOptions, LocalTarget
from targets.memory import MemoryTarget
from targets.testing import TargetContract
from targets.wrappers.faults import Effect, Fault, Faults
from targets.wrappers.limit import Limit
from targets.wrappers.observe import Observe
from targets.wrappers.prefix import Prefix
from targets.wrappers.retry import Retry


async def next_turn(_: float) -> None:
    """Sleep no longer than it takes to let the other tasks run."""
    await asyncio.sleep(0)


def retried(inner: Target) -> Target:
    return Retry(inner, retries_max=30, timeout_s=30, sleep=next_turn)


def limited(inner: Target, *, operations_max: int) -> Target:
    return Limit(inner, operations_max=operations_max, monotonic=lambda: 0.0)


class TestMemory(TargetContract):
    @pytest.fixture
    def target(self) -> Target:
        return MemoryTarget()


class TestLocal(TargetContract):
    @pytest.fixture
    async def target(self, tmp_path: Path) -> AsyncIterator[Target]:
        target = LocalTarget(tmp_path)
        yield target
        assert [*(tmp_path / ".tmp").iterdir()] == []
        await target.aclose()


class TestRetry(TargetContract):
    """Retryable faults below must be invisible above."""

    @pytest.fixture
    def target(self) -> Target:
        faults = (
            Fault(probability=0.3),
            Fault(operation="list", after_objects=3, probability=0.3),
            Fault(effect=Effect.LOST_RESPONSE, probability=0.3),
        )
        return retried(Faults(MemoryTarget(), faults, seed=1))


class TestFaultless(TargetContract):
    @pytest.fixture
    def target(self) -> Target:
        return Faults(MemoryTarget(), ())


class TestLimit(TargetContract):
    @pytest.fixture
    def target(self) -> Target:
        return limited(MemoryTarget(), operations_max=1)


class TestObserve(TargetContract):
    @pytest.fixture
    def target(self) -> Target:
        return Observe(MemoryTarget())


class TestPrefix(TargetContract):
    @pytest.fixture
    async def target(self) -> Target:
        inner = MemoryTarget()
        await inner.put("scope-2/packs/ab/1", b"of another scope")
        return Prefix(inner, "scope")


class TestStack(TargetContract):
    """As the daemon builds it."""

    @pytest.fixture
    async def target(self, tmp_path: Path) -> AsyncIterator[Target]:
        local = LocalTarget(tmp_path, LocalOptions(fsync=False))
        target = retried(limited(Observe(Prefix(local, "project/plain/")), operations_max=8))
        yield target
        await target.aclose()
