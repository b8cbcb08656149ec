"""The tables of ``bench.targets``."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from bench.figures import Pairs, median, median_text, pairs_of, ratios, spread_text
from bench.target_backups import BackedUp, Profiled
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
        cpu = [(_cpu_s_per_gb(row, driver), _cpu_s_per_gb(row, lean)) for driver, lean in row.rounds]
        print(f"{row.store:7}{_job(row):14}{row.concurrency:10}", end="")
        print(f"{median(rates, 0):9.1f}{median(rates, 1):9.1f} {unit:6}", end="")
        print(f"{median_text(ratios(rates)):>7}{spread_text(ratios(rates)):>14}", end="")
        print(f"{median(cpu, 0):10.2f}{median(cpu, 1):7.2f}{median_text(ratios(cpu)):>7}")
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
        wall, cpu = pairs_of(row.rounds, "wall_s"), pairs_of(row.rounds, "cpu_s")
        server_s, peak_bytes, requests, sent_bytes = (
            median(pairs_of(row.rounds, cost), 0)
            for cost in ("server_cpu_s", "memory_peak_bytes", "requests", "sent_bytes")
        )
        rates = [(row.size_bytes / MIB / store, row.size_bytes / MIB / local) for store, local in wall]
        print(f"{row.store:9}{median(wall, 0):8.2f}{median(wall, 1):8.2f}", end="")
        print(f"{median(rates, 0):8.1f}{median(rates, 1):8.1f}", end="")
        print(f"{median_text(ratios(rates)):>7}{spread_text(ratios(rates)):>14}", end="")
        print(f"{median(cpu, 0):8.2f}{median(cpu, 1):8.2f}{median_text(ratios(cpu)):>7}", end="")
        print(f"{server_s:14.2f}{peak_bytes / MIB:10.0f}{requests:10.0f}{sent_bytes / MIB:10.1f}")


def print_profiles(rows: Sequence[Profiled]) -> None:
    """Print what took the processor's time of one backup to each store and of the same one to local."""
    print("\nCPU s of a backup")
    print(f"{'':32}" + "".join(f"{row.store:>9}{'local':>8}" for row in rows))
    for part in rows[0].taken_s:
        print(f"{part:32}", end="")
        print("".join(f"{row.taken_s[part]:9.2f}{row.local_s[part]:8.2f}" for row in rows))


def _rates(row: Measured) -> tuple[str, Pairs]:
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
