"""The tables of ``bench.targets``."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from bench.target_backups import BackedUp
from bench.transfers import MIB, Measured, Taken

GOAL = 0.9


def print_transfers(rows: Sequence[Measured]) -> None:
    """Print each driver next to its lean client, and what does not reach the goal."""
    print(
        f"\n{'':7}{'':14}{'at a time':>10}{'driver':>9}{'lean':>9} {'':6}{'ratio':>7}{'spread':>14}"
        f"{'CPU s/GB':>10}{'lean':>7}{'ratio':>7}"
    )
    for row in rows:
        unit, rates = _rates(row)
        ratios = [driver / lean for driver, lean in rates]
        cpu = [(_cpu_s_per_gb(row, driver), _cpu_s_per_gb(row, lean)) for driver, lean in row.rounds]
        print(f"{row.store:7}{_job(row):14}{row.concurrency:10}", end="")
        print(f"{_median(rates, 0):9.1f}{_median(rates, 1):9.1f} {unit:6}", end="")
        print(f"{statistics.median(ratios):7.2f}{_spread(ratios):>14}", end="")
        print(f"{_median(cpu, 0):10.2f}{_median(cpu, 1):7.2f}{_ratio(cpu):>7}")
    below = [row for row in rows if _ratio_of_rates(row) < GOAL]
    listed = ", ".join(f"{r.store} {_job(r)} at {r.concurrency} ({_ratio_of_rates(r):.2f})" for r in below)
    print(f"below the goal of {GOAL}: {listed or 'none'}")


def print_backups(rows: Iterable[BackedUp]) -> None:
    """Print a full backup to each store next to the same one to the local target."""
    print(
        f"\n{'full':9}{'wall s':>8}{'local':>8}{'MiB/s':>8}{'local':>8}{'ratio':>7}{'spread':>14}"
        f"{'CPU s':>8}{'local':>8}{'ratio':>7}{'server CPU s':>14}{'peak MiB':>10}{'requests':>10}{'sent MiB':>10}"
    )
    for row in rows:
        wall = _pairs(row, "wall_s")
        cpu = _pairs(row, "cpu_s")
        ratios = [local / store for store, local in wall]
        size_mib = row.size_bytes / MIB
        print(f"{row.store:9}{_median(wall, 0):8.2f}{_median(wall, 1):8.2f}", end="")
        print(f"{size_mib / _median(wall, 0):8.1f}{size_mib / _median(wall, 1):8.1f}", end="")
        print(f"{statistics.median(ratios):7.2f}{_spread(ratios):>14}", end="")
        print(f"{_median(cpu, 0):8.2f}{_median(cpu, 1):8.2f}{_ratio(cpu):>7}", end="")
        print(f"{_median(_pairs(row, 'server_cpu_s'), 0):14.2f}", end="")
        print(f"{_median(_pairs(row, 'memory_peak_bytes'), 0) / MIB:10.0f}", end="")
        print(f"{_median(_pairs(row, 'requests'), 0):10.0f}{_median(_pairs(row, 'sent_bytes'), 0) / MIB:10.1f}")


def _rates(row: Measured) -> tuple[str, list[tuple[float, float]]]:
    """Return the unit and (driver, lean) of each round: MB/s of large objects, requests/s of small ones."""
    each = row.size_bytes / 1e6 if row.size_bytes >= MIB else 1.0
    work = row.count * each
    unit = "MB/s" if row.size_bytes >= MIB else "req/s"
    return unit, [(work / driver.wall_s, work / lean.wall_s) for driver, lean in row.rounds]


def _ratio_of_rates(row: Measured) -> float:
    return statistics.median(lean.wall_s / driver.wall_s for driver, lean in row.rounds)


def _cpu_s_per_gb(row: Measured, taken: Taken) -> float:
    return taken.cpu_s / (row.count * row.size_bytes / 1e9)


def _job(row: Measured) -> str:
    size = f"{row.size_bytes // MIB} MiB" if row.size_bytes >= MIB else f"{row.size_bytes // 1024} KiB"
    return f"{row.job} {size}"


def _pairs(row: BackedUp, cost: str) -> list[tuple[float, float]]:
    return [(store[cost], local[cost]) for store, local in row.rounds]


def _median(pairs: Iterable[tuple[float, float]], which: int) -> float:
    return statistics.median(pair[which] for pair in pairs)


def _ratio(pairs: Sequence[tuple[float, float]]) -> str:
    """Return the median ratio of processor times; a dash where one is too short to be told."""
    ratios = [one / other for one, other in pairs if other]
    return f"{statistics.median(ratios):.2f}" if ratios else "-"


def _spread(ratios: Sequence[float]) -> str:
    return f"{min(ratios):.2f}-{max(ratios):.2f}"
