"""Each store that lies is caught by the check that asks for it, and by no other one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from backupd.simulation.loop import LoopClock, run_simulated
from targets.base import Target
from targets.memory import MemoryTarget
from targets.probe import FULL, Outcome, ProbeReport, doubts, essentials, probe, unfit
from targets.wrappers.faults import Effect, Fault, Faults
from targets.wrappers.single_writer import SingleWriter
from tests.support import liars

SMALL = replace(
    FULL,
    content_sizes_bytes=(0, 1, 4096, 4097, 65_536),
    listed_count=30,
    deleted_count=6,
    abort_size_bytes=100_000,
    race_rounds=3,
    speed_sizes_bytes=(4096,),
    speed_concurrencies=(1, 4),
    speed_bytes_max=1024 * 1024,
)
CLOCK = LoopClock()


def probed(target: Target, *, others: Target | None = None) -> ProbeReport:
    """Return a whole probe of the target, of small size, in simulated time."""
    probing = probe(target, others=others, monotonic=CLOCK.monotonic, plan=SMALL, random=Random(1))
    return run_simulated(probing, seed=1)


def quickly_probed(target: Target) -> ProbeReport:
    return run_simulated(essentials(target, monotonic=CLOCK.monotonic, random=Random(1)), seed=1)


def names_of_broken(report: ProbeReport) -> set[str]:
    return {check.name for check in report.broken}


CAUGHT: list[tuple[Callable[[], Target], set[str], str]] = [
    (liars.IgnoresIfAbsent, {"conditional_put", "conditional_put_race"}, "P5 once"),
    (liars.LooksFirst, {"conditional_put_race"}, "P5 once"),
    (liars.RefusesAndOverwrites, {"conditional_put", "conditional_put_race"}, "P5 once"),
    (liars.ImitatesConditionalPut, {"conditional_put"}, "P5 once"),
    (lambda: liars.ListsLate(3.0), {"listing_after_write", "listing_after_delete"}, "P1 exact"),
    (lambda: liars.ReadsLate(3.0), {"read_after_write", "read_after_overwrite"}, "P1 exact"),
    (liars.WritesInPlace, {"aborted_put", "put_in_progress"}, "P4 crash"),
    (liars.KeepsTornUploads, {"aborted_put"}, "P4 crash"),
    (liars.ShortRanges, {"ranges"}, "P1 exact"),
    (liars.LenientRanges, {"ranges"}, "P1 exact"),
    (liars.WrongHead, {"head_size"}, "P1 exact"),
    (liars.GarblesOddSizes, {"content"}, "P1 exact"),
    (liars.ListsOnePage, {"listing_complete"}, "P1 exact"),
    (liars.ListsBesideThePrefix, {"listing_complete"}, "P1 exact"),
]


@pytest.mark.parametrize(("liar", "caught", "promise"), CAUGHT)
def test_a_liar_is_caught_and_refused_by_the_promise_that_would_break(
    liar: Callable[[], Target], caught: set[str], promise: str
) -> None:
    report = probed(liar())
    assert names_of_broken(report) == caught
    reasons = unfit(report, single_writer=False)
    assert reasons
    assert all(reason.startswith(f"{promise} would break: ") for reason in reasons)


@pytest.mark.parametrize("liar", [liar for liar, _, _ in CAUGHT])
def test_a_liar_leaves_nothing_of_the_probe(liar: Callable[[], MemoryTarget]) -> None:
    store = liar()
    report = probed(store)
    assert store._objects == {}
    assert (report.left, report.left_count) == ((), 0)


@pytest.mark.parametrize(
    ("store", "caught"),
    [
        (liars.DeletesNothing, {"delete", "delete_many"}),
        (liars.DeletesHalfOfMany, {"delete_many"}),
        (liars.MayNotDelete, {"delete", "delete_many"}),
        (liars.ReadOnly, {"writable"}),
        (liars.FullDisk, {"writable"}),
    ],
)
def test_what_breaks_no_promise_is_told_and_not_refused(store: Callable[[], Target], caught: set[str]) -> None:
    report = probed(store())
    assert names_of_broken(report) == caught
    assert unfit(report, single_writer=False) == []
    assert {doubt.partition(":")[0] for doubt in doubts(report)} >= caught


@pytest.mark.parametrize(
    ("store", "code"), [(liars.ReadOnly, "target.read_only"), (liars.FullDisk, "target.quota_exceeded")]
)
def test_where_nothing_can_be_stored_the_rest_is_undecided(store: Callable[[], Target], code: str) -> None:
    report = quickly_probed(store())
    writable, *rest = report.checks
    assert (writable.outcome, writable.code) == (Outcome.BROKEN, code)
    assert {(check.outcome, check.code) for check in rest} == {(Outcome.UNKNOWN, code)}
    assert {check.name for check in report.undecided} >= {"read_after_write", "conditional_put", "ranges"}
    assert not report.has_conditional_put


def test_a_refused_delete_is_told_with_its_code_and_what_was_left() -> None:
    report = quickly_probed(liars.MayNotDelete())
    check = report.check("delete")
    assert check is not None
    assert (check.code, check.detail) == (
        "target.permission_denied",
        f"nothing may be deleted: delete {next(key for key in report.left if key.endswith('-delete'))}: 403",
    )
    assert report.left_count == len(report.left) > 5


def test_what_a_store_only_says_to_have_deleted_is_found_left() -> None:
    store = liars.DeletesNothing()
    assert set(quickly_probed(store).left) == set(store._objects)


def test_how_late_a_listing_is_stands_in_the_evidence() -> None:
    check = probed(liars.ListsLate(3.0)).check("listing_after_write")
    assert check is not None
    assert check.outcome is Outcome.BROKEN
    assert 3.0 <= (check.evidence["late_s"] or 0) <= 4.0


def test_a_listing_that_never_shows_an_object_is_given_up() -> None:
    report = probed(Faults(MemoryTarget(), [Fault(effect=Effect.STALE_LIST, operation="list")]))
    check = report.check("listing_after_write")
    assert check is not None
    assert check.detail == "a new object is listed, but not within 10 s"


def test_writers_over_two_connections_are_told_from_those_over_one() -> None:
    store = liars.LooksFirst()
    one, other = SingleWriter(store), SingleWriter(store)
    one.looks_first = other.looks_first = True  # As it is once somebody has seen what the store does.
    assert names_of_broken(probed(one)) == set()
    report = probed(one, others=other)
    assert names_of_broken(report) == {"conditional_put_race"}
    assert not report.has_conditional_put


def test_an_object_that_others_do_not_see_at_once_is_caught() -> None:
    store = MemoryTarget()
    report = probed(store, others=liars.LateReplica(store, 3.0))
    assert names_of_broken(report) == {"read_after_write"}
    assert store._objects == {}


@pytest.mark.parametrize("liar", [liars.IgnoresIfAbsent, liars.LooksFirst, liars.WithoutConditionalPut])
def test_a_single_writer_needs_no_conditional_put_and_is_told_how_to_say_so(liar: Callable[[], Target]) -> None:
    report = quickly_probed(liar())
    assert unfit(report, single_writer=True) == []
    assert not report.has_conditional_put
    (*_, reason) = unfit(report, single_writer=False)
    assert "single_writer = true" in reason
    assert reason.startswith("P5 once would break: ")
