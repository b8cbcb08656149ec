from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from backupd.simulation.loop import LoopClock, run_simulated
from targets.base import ObjectInfo, Target
from targets.errors import Throttled, Unavailable
from targets.local import LocalOptions, LocalTarget
from targets.memory import MemoryTarget
from targets.probe import FULL, Outcome, ProbeReport, UnknownReport, doubts, essentials, probe, unfit
from targets.wrappers.faults import Effect, Fault, Faults
from targets.wrappers.single_writer import SingleWriter
from tests.support import liars

CLOCK = LoopClock()
SMALL = replace(
    FULL,
    content_sizes_bytes=(0, 1, 65_537),
    listed_count=30,
    deleted_count=6,
    abort_size_bytes=1_000_000,
    race_rounds=3,
    settle_s=0.01,
    speed_sizes_bytes=(4096, 65_536),
    speed_concurrencies=(1, 4),
    speed_bytes_max=1024 * 1024,
)


@pytest.fixture(params=["memory", "local", "single writer", "two connections"])
async def targets(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Target, Target | None]]:
    if request.param == "memory":
        yield MemoryTarget(), None
    elif request.param == "single writer":
        yield SingleWriter(liars.WithoutConditionalPut()), None
    else:
        one, two = (LocalTarget(tmp_path, LocalOptions(fsync=False)) for _ in range(2))
        yield one, two if request.param == "two connections" else None
        await one.aclose()
        await two.aclose()


async def test_a_right_target_is_fit_and_fast_and_left_empty(targets: tuple[Target, Target | None]) -> None:
    target, others = targets
    report = await probe(target, others=others, monotonic=CLOCK.monotonic, plan=SMALL)
    assert {check.name: check.detail for check in report.checks if check.outcome is not Outcome.OK} == {
        "clock_skew": "the driver cannot tell the server's time"
    }
    assert unfit(report, single_writer=False) == []
    assert doubts(report) == []
    assert report.has_conditional_put
    assert {(speed.operation, speed.size_bytes, speed.concurrency) for speed in report.speeds} == {
        (operation, size, concurrency)
        for operation in ("put", "get")
        for size in (4096, 65_536)
        for concurrency in (1, 4)
    }
    assert [info async for info in target.list("")] == []


def simulated(target: Target) -> ProbeReport:
    probing = probe(target, monotonic=CLOCK.monotonic, plan=SMALL, random=Random(1))
    return run_simulated(probing, seed=1)


async def test_essentials_cost_some_thirty_small_requests() -> None:
    for target in (MemoryTarget(), liars.WithoutConditionalPut()):
        report = await essentials(target, monotonic=CLOCK.monotonic)
        assert report.requests <= 32
        assert report.sent_bytes <= 150 * 1024
        assert report.received_bytes <= 150 * 1024


async def test_foreign_objects_are_neither_touched_nor_in_the_way() -> None:
    store = MemoryTarget()
    foreign = {"packs/1": b"pack", "probe/other": b"theirs", "probe/0-delete": b"theirs"}
    for key, body in foreign.items():
        await store.put(key, body)
    report = await probe(store, monotonic=CLOCK.monotonic, plan=SMALL)
    assert report.broken == ()
    assert store._objects == foreign


def test_a_slow_target_is_right_and_its_latency_is_told() -> None:
    report = simulated(Faults(MemoryTarget(), [Fault(effect=Effect.LATENCY, latency_s=0.25)]))
    assert report.broken == ()
    for speed in report.speeds:
        assert [speed.latency_p50_s, speed.latency_max_s] == pytest.approx([0.25, 0.25])
        assert speed.bytes_per_s == pytest.approx(speed.size_bytes * speed.concurrency / 0.25)


def test_percentiles_are_those_of_single_operations() -> None:
    slow = Fault(effect=Effect.LATENCY, operation="put", latency_s=1.0, matches=lambda _, key: key.endswith("-1-7"))
    plan = replace(SMALL, speed_sizes_bytes=(4096,), speed_concurrencies=(1,))
    target = Faults(MemoryTarget(), [slow])
    report = run_simulated(probe(target, monotonic=CLOCK.monotonic, plan=plan), seed=1)
    put, _ = report.speeds
    assert (put.operations, put.latency_p50_s, put.latency_p90_s, put.latency_max_s) == (8, 0, 1, 1)


def test_speed_stays_within_its_bytes_and_says_what_it_left_out() -> None:
    plan = replace(SMALL, speed_sizes_bytes=(4096, 1024 * 1024), speed_concurrencies=(1, 8), speed_bytes_max=2**21)
    quiet = run_simulated(
        probe(MemoryTarget(), monotonic=CLOCK.monotonic, plan=replace(plan, speed_bytes_max=0)), seed=1
    )
    report = run_simulated(probe(MemoryTarget(), monotonic=CLOCK.monotonic, plan=plan), seed=1)
    assert 0 < report.sent_bytes - quiet.sent_bytes <= 2**21
    assert report.not_measured == ("1048576 bytes, 8 at a time: more than the 2097152 bytes that may be sent",)
    assert quiet.speeds == ()
    assert len(quiet.not_measured) == 4


def test_speed_stays_within_its_time() -> None:
    slow = Faults(MemoryTarget(), [Fault(effect=Effect.LATENCY, latency_s=1, matches=lambda _, key: "-speed-" in key)])
    plan = replace(SMALL, speed_duration_s_max=5.0)
    report = run_simulated(probe(slow, monotonic=CLOCK.monotonic, plan=plan), seed=1)
    assert sum(speed.duration_s for speed in report.speeds) <= 6.0
    assert report.not_measured[-1] == "65536 bytes, 4 at a time: after the 5 s that it may take"


def test_errors_while_speed_is_measured_are_counted() -> None:
    report = simulated(Faults(MemoryTarget(), [Fault(error=Throttled, matches=lambda _, key: key.endswith("-4-3"))]))
    assert [(s.errors, s.operations) for s in report.speeds if s.operation == "put" and s.concurrency == 4] == [
        (1, 31),
        (1, 3),
    ]


def test_a_target_that_hangs_is_given_up_in_time() -> None:
    report = simulated(Faults(MemoryTarget(), [Fault(effect=Effect.HANG, operation="head")]))
    checks = {check.name: check.code for check in report.checks if check.outcome is Outcome.UNKNOWN}
    assert checks["read_after_write"] == checks["head_size"] == "target.timed_out"
    assert report.broken == ()
    assert report.duration_s < 8 * SMALL.check_timeout_s


def test_a_target_that_cannot_be_reached_is_undecided_not_unfit() -> None:
    report = simulated(Faults(MemoryTarget(), [Fault(error=Unavailable)]))
    assert report.broken == ()
    assert {check.code for check in report.undecided} == {"target.unavailable"}
    assert unfit(report, single_writer=False) == []
    assert doubts(report)


def test_one_failed_request_costs_one_answer() -> None:
    report = simulated(Faults(MemoryTarget(), [Fault(operation="put", matches=lambda _, key: key.endswith("-ranges"))]))
    assert [check.name for check in report.checks if check.code == "target.unavailable"] == ["ranges"]


@pytest.mark.parametrize("share", [0.001, 0.1, 0.3, 0.5, 0.7, 0.9, 0.96, 0.99, 0.995])
def test_a_cancelled_probe_leaves_nothing(share: float) -> None:
    store = MemoryTarget()
    slow = Faults(store, [Fault(effect=Effect.LATENCY, latency_s=0.01)])
    after_s = share * simulated(slow).duration_s

    async def cancel() -> None:
        async with asyncio.timeout(after_s):
            await probe(slow, monotonic=CLOCK.monotonic, plan=SMALL, random=Random(1))

    with pytest.raises(TimeoutError):
        run_simulated(cancel(), seed=1)
    assert store._objects == {}


def test_a_probe_whose_removal_is_cancelled_too_says_so(caplog: pytest.LogCaptureFixture) -> None:
    hanging = Faults(MemoryTarget(), [Fault(effect=Effect.HANG, operation="delete_many")])

    async def cancel_twice() -> None:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(essentials(hanging, monotonic=CLOCK.monotonic))
            for _ in range(2):
                await asyncio.sleep(1)
                task.cancel()

    run_simulated(cancel_twice(), seed=1)
    assert "the probe left 9 objects below probe/" in caplog.text


class Broken(MemoryTarget):
    """A driver with an error of its own."""

    async def head(self, key: str) -> ObjectInfo:
        raise ZeroDivisionError


async def test_an_error_of_the_driver_comes_out_and_nothing_is_left() -> None:
    store = Broken()
    with pytest.raises(ZeroDivisionError):
        await probe(store, monotonic=CLOCK.monotonic, plan=SMALL)
    assert store._objects == {}


class WithClock(MemoryTarget):
    """A store whose server's clock is ``ahead_s`` ahead."""

    def __init__(self, ahead_s: float) -> None:
        super().__init__()
        self._ahead_s = ahead_s

    async def server_time_s(self) -> float:
        return CLOCK.now().timestamp() + self._ahead_s


@pytest.mark.parametrize(
    ("ahead_s", "outcome"), [(0.0, Outcome.OK), (-4.0, Outcome.OK), (60.0, Outcome.BROKEN), (-60.0, Outcome.BROKEN)]
)
async def test_a_clock_that_is_wrong_is_told(ahead_s: float, outcome: Outcome) -> None:
    report = await probe(
        WithClock(ahead_s), monotonic=CLOCK.monotonic, wall_s=lambda: CLOCK.now().timestamp(), plan=SMALL
    )
    check = report.check("clock_skew")
    assert check is not None
    assert check.outcome is outcome
    assert check.evidence["skew_s"] == pytest.approx(ahead_s, abs=0.1)
    assert unfit(report, single_writer=False) == []


@pytest.mark.parametrize("store", [MemoryTarget, liars.MayNotDelete, liars.ReadOnly, liars.LooksFirst])
def test_a_report_goes_through_json_unchanged(store: Callable[[], Target]) -> None:
    report = simulated(store())
    assert ProbeReport.from_json(json.loads(json.dumps(report.to_json()))) == report


async def test_a_document_that_is_no_report_is_refused() -> None:
    document = (await essentials(MemoryTarget(), monotonic=CLOCK.monotonic)).to_json()
    check = document["checks"][0]
    for wrong in (
        {},
        {**document, "version": 99},
        {**document, "new": 1},
        {**document, "checks": [{**check, "outcome": "maybe"}]},
        {**document, "checks": [{**check, "promise": "P99"}]},
        {**document, "checks": [{}]},
        {**document, "speeds": None},
    ):
        with pytest.raises(UnknownReport, match="report of a probe"):
            ProbeReport.from_json(wrong)


async def test_essentials_leave_no_folders_in_a_directory_but_one(tmp_path: Path) -> None:
    target = LocalTarget(tmp_path, LocalOptions(fsync=False))
    for _ in range(2):
        await essentials(target, monotonic=CLOCK.monotonic)
    await target.aclose()
    assert [path.name for path in (tmp_path / "probe").rglob("*")] == []
