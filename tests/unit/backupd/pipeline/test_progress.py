from __future__ import annotations

from backupd.model import Progress
from backupd.pipeline.progress import ProgressMeter
from tests.support.virtual_clock import VirtualClock


def test_rate_and_eta_are_unknown_before_anything_is_done() -> None:
    clock = VirtualClock()
    meter = ProgressMeter(clock)
    meter.total_bytes = 100
    assert meter.snapshot() == Progress(0, 100)
    clock.advance(5)
    assert meter.snapshot() == Progress(0, 100)


def test_what_is_done_at_once_has_no_rate_yet() -> None:
    meter = ProgressMeter(VirtualClock())
    meter.add(10)
    assert meter.snapshot() == Progress(10, 0)


def test_rate_and_eta_follow_from_what_was_done() -> None:
    clock = VirtualClock()
    meter = ProgressMeter(clock)
    meter.total_bytes = 100
    clock.advance(4)
    meter.add(20)
    assert meter.snapshot() == Progress(20, 100, rate_bytes_per_s=5.0, eta_s=16.0)


def test_rate_forgets_what_was_long_ago() -> None:
    clock = VirtualClock()
    meter = ProgressMeter(clock)
    for _ in range(60):
        clock.advance(1)
        meter.add(1000)
    for _ in range(20):
        clock.advance(1)
        meter.add(10)
    assert meter.snapshot().rate_bytes_per_s == 10.0


def test_rate_falls_while_nothing_is_done() -> None:
    clock = VirtualClock()
    meter = ProgressMeter(clock)
    clock.advance(1)
    meter.add(100)
    clock.advance(99)
    assert meter.snapshot().rate_bytes_per_s == 1.0


def test_nothing_is_left_when_more_is_done_than_was_thought() -> None:
    clock = VirtualClock()
    meter = ProgressMeter(clock)
    meter.total_bytes = 10
    clock.advance(1)
    meter.add(30)
    assert meter.snapshot().eta_s == 0.0
