"""Every target and every wrapper keeps the contract."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from targets.base import Body, Target
from targets.errors import Unsupported
from targets.keys import validate_key
from targets.local import LocalOptions, LocalTarget
from targets.memory import MemoryTarget
from targets.testing import TargetContract
from targets.wrappers.faults import Effect, Fault, Faults
from targets.wrappers.limit import Limit
from targets.wrappers.mirror import Mirror
from targets.wrappers.observe import Observe
from targets.wrappers.prefix import Prefix
from targets.wrappers.retry import Retry
from targets.wrappers.single_writer import SingleWriter


async def next_turn(_: float) -> None:
    """Sleep no longer than it takes to let the other tasks run."""
    await asyncio.sleep(0)


def retried(inner: Target) -> Target:
    return Retry(inner, retries_max=30, timeout_s=30, sleep=next_turn)


def failing(inner: Target) -> Target:
    """Return a target that fails at times, before, in the middle and after."""
    faults = (
        Fault(probability=0.2),
        Fault(operation="list", after_objects=3, probability=0.2),
        Fault(effect=Effect.LOST_RESPONSE, probability=0.2),
    )
    return Faults(inner, faults, seed=1)


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


class TestLocalThatFails(TargetContract):
    @pytest.fixture
    async def target(self, tmp_path: Path) -> AsyncIterator[Target]:
        target = LocalTarget(tmp_path, LocalOptions(fsync=False))
        yield retried(failing(target))
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


class NeverConditional(MemoryTarget):
    """A store that would overwrite, and says so."""

    capabilities = replace(MemoryTarget.capabilities, conditional_put=False)

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        validate_key(key)
        if if_absent:
            raise Unsupported(f"put {key}: this store cannot tell whether an object is absent")
        await super().put(key, body)


class TestWithoutConditionalPut(TargetContract):
    @pytest.fixture
    def target(self) -> Target:
        return NeverConditional()


class TestSingleWriter(TargetContract):
    @pytest.fixture
    def target(self) -> Target:
        return SingleWriter(NeverConditional())

    def test_it_says_that_it_can_put_conditionally(self, target: Target) -> None:
        assert target.capabilities.conditional_put


class TestMirror(TargetContract):
    """Of three members one fails from some time on, which must be invisible above."""

    @pytest.fixture
    def target(self) -> Target:
        failing = Faults(
            MemoryTarget(), [Fault(operation=name, probability=0.3) for name in ("put", "get", "head")], seed=3
        )
        return Mirror({"memory": MemoryTarget(), "failing": failing, "second": MemoryTarget()}, quorum=2)


class TestStack(TargetContract):
    """As the daemon builds it."""

    @pytest.fixture
    async def target(self, tmp_path: Path) -> AsyncIterator[Target]:
        local = LocalTarget(tmp_path, LocalOptions(fsync=False))
        target = retried(limited(Observe(Prefix(local, "project/plain/")), operations_max=8))
        yield target
        await target.aclose()
