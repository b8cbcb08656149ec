"""How much a probe asks: what a check costs is written here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Counts, sizes and times of the checks, then the bounds of the measurement of speed.

    ``wait_s``: how long something that is late is waited for; ``check_timeout_s``: after which a check is given
    up; ``remove_timeout_s``: after which the removal at the end is. ``speed_bytes_max``,
    ``speed_duration_s_max``: what the measurement may send, and how long it may go on.
    """

    content_sizes_bytes: tuple[int, ...]
    race_writers: int
    race_rounds: int
    wait_s: float
    check_timeout_s: float
    remove_timeout_s: float = 60.0
    listed_count: int = 0
    deleted_count: int = 0
    abort_size_bytes: int = 0
    abort_points: int = 0
    settle_s: float = 0.0
    concurrency: int = 16
    clock_skew_s_max: float = 5.0
    speed_sizes_bytes: tuple[int, ...] = ()
    speed_concurrencies: tuple[int, ...] = ()
    speed_bytes_max: int = 0
    speed_duration_s_max: float = 0.0


ESSENTIALS = Plan(
    content_sizes_bytes=(64 * KIB + 1,),
    race_writers=4,
    race_rounds=1,
    wait_s=2.0,
    check_timeout_s=30.0,
)

FULL = Plan(
    # Around the blocks, pages and parts that stores cut objects into.
    content_sizes_bytes=(0, 1, 4095, 4096, 4097, 64 * KIB, MIB - 1, MIB + 1, 8 * MIB, 8 * MIB + 1),
    race_writers=8,
    race_rounds=8,
    wait_s=10.0,
    check_timeout_s=120.0,
    listed_count=1100,  # More than a page of any object store's listing.
    deleted_count=50,
    abort_size_bytes=16 * MIB,
    abort_points=8,
    settle_s=1.0,
    speed_sizes_bytes=(4 * KIB, 64 * KIB, MIB, 16 * MIB),
    speed_concurrencies=(1, 8, 32),
    speed_bytes_max=1024 * MIB,
    speed_duration_s_max=60.0,
)
