from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from backupd.catalog.store import Catalog
from backupd.errors import TargetUnfit
from backupd.jobs.fitness import Fitness, ProbedTarget
from targets.base import Body, Target
from targets.errors import Misconfigured, PermissionDenied, QuotaExceeded, TargetError, Unavailable, Unsupported
from targets.memory import MemoryTarget
from targets.probe import ESSENTIALS
from targets.wrappers.faults import Fault, Faults
from targets.wrappers.observe import Observe
from targets.wrappers.single_writer import SingleWriter
from tests.support.catalogs import open_catalog
from tests.support.virtual_clock import VirtualClock


class Overwrites(MemoryTarget):
    """It says that it can put conditionally, and overwrites."""

    capabilities = replace(MemoryTarget.capabilities, servers_differ=True)

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        await super().put(key, body)


class CannotTell(MemoryTarget):
    """It has no conditional put, and says so."""

    capabilities = replace(MemoryTarget.capabilities, servers_differ=True, conditional_put=False)

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        if if_absent:
            raise Unsupported(f"put {key}")
        await super().put(key, body)


@pytest.fixture
async def catalog(tmp_path: Path) -> AsyncIterator[Catalog]:
    async with open_catalog(tmp_path / "catalog.sqlite", VirtualClock()) as catalog:
        yield catalog


def fitness(catalog: Catalog, target: Target, writer: SingleWriter | None = None, url: str = "s3://bucket") -> Fitness:
    async def open_again() -> Target:
        return target

    probed = ProbedTarget(url=url, target=target, open_again=open_again, writer=writer)
    return Fitness(catalog=catalog, clock=VirtualClock(), targets={"store": probed})


async def test_p5_once_a_store_that_overwrites_is_refused_and_the_promise_is_named(catalog: Catalog) -> None:
    with pytest.raises(TargetUnfit, match=r"target store cannot be written to: .*P5.*single_writer = true"):
        await fitness(catalog, Overwrites()).require("store")


async def test_a_store_that_overwrites_is_taken_when_one_daemon_alone_writes(catalog: Catalog) -> None:
    writer = SingleWriter(Overwrites())
    assert not writer.looks_first
    await fitness(catalog, writer, writer).require("store")
    assert writer.looks_first


async def test_a_store_that_cannot_tell_is_never_asked_to(catalog: Catalog) -> None:
    writer = SingleWriter(CannotTell())
    for _ in range(2):  # The second time by what was found out the first time.
        await fitness(catalog, writer, writer).require("store")
        assert writer.looks_first


async def test_what_a_probe_found_is_kept_until_the_url_is_another(catalog: Catalog) -> None:
    for url, is_asked in (("s3://bucket", True), ("s3://bucket", False), ("s3://other", True)):
        observed = Observe(MemoryTarget())
        observed.capabilities = replace(observed.capabilities, servers_differ=True)
        await fitness(catalog, observed, url=url).require("store")
        assert (observed.counters.requests > 0) is is_asked


async def test_a_kind_of_store_that_is_always_the_same_is_not_probed(catalog: Catalog) -> None:
    observed = Observe(MemoryTarget())
    await fitness(catalog, observed).require("store")
    assert observed.counters.requests == 0


async def test_a_store_that_is_down_is_probed_again_later(catalog: Catalog) -> None:
    target = Faults(MemoryTarget(), [Fault()])
    target.capabilities = replace(target.capabilities, servers_differ=True)
    with pytest.raises(Unavailable):
        await fitness(catalog, target).require("store")
    assert target.calls == [("head", "probe/absent")]
    assert await catalog.probe("store") is None


@pytest.mark.parametrize("error", [PermissionDenied, QuotaExceeded, Misconfigured])
async def test_what_keeps_a_store_from_being_probed_is_told_at_once_if_it_will_come_again(
    catalog: Catalog, error: type[TargetError]
) -> None:
    target = Faults(MemoryTarget(), [Fault(operation="put", error=error)])
    target.capabilities = replace(target.capabilities, servers_differ=True)
    with pytest.raises(error, match=r"^target store could not be probed: nothing can be stored: [^;]*$"):
        await fitness(catalog, target).require("store")


async def test_a_later_probe_of_the_same_store_counts_at_once(catalog: Catalog) -> None:
    target = MemoryTarget()
    one = fitness(catalog, target)
    await one.require("store")
    await one.probe("store", ESSENTIALS)
    stored = await catalog.probe("store")
    assert stored is not None
    assert stored.report["conditional_put"] is True


async def test_a_store_that_was_too_busy_is_asked_once_more(catalog: Catalog) -> None:
    target = Faults(MemoryTarget(), [Fault(operation="put", at_call=2)])
    target.capabilities = replace(target.capabilities, servers_differ=True)
    clock = VirtualClock()
    async with asyncio.TaskGroup() as group:
        group.create_task(replace(fitness(catalog, target), clock=clock).require("store"))
        await clock.asleep()
        assert await catalog.probe("store") is None
        clock.advance(5)
    assert await catalog.probe("store") is not None
