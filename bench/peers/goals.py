"""The goals, and whether they were reached. Values only: no measuring here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bench.peers.results import Step

MIB = 1024 * 1024
OURS, OURS_PLAIN = "backupd", "backupd, plain"
FLOOR = "floor"
BORG, BORG_PLAIN = "borg, 4 MiB", "borg, 4 MiB, plain"
RESTIC, BENJI = "restic", "benji with hints"
_NO_PEERS = ("backupd", "floor")
Medians = Mapping[str, Mapping[str, Step]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """``measure`` has to be at most ``limit``; ``basis`` says where the limit is from."""

    measure: str
    reached: float
    limit: float
    unit: str
    basis: str

    @property
    def is_met(self) -> bool:
        return self.reached <= self.limit


def judged(medians: Medians, measures: Mapping[str, Any]) -> list[Verdict]:
    """Return a verdict for each goal whose figures are all there."""
    return [*_of_tools(medians), *_of_measures(measures)]


def _of_tools(medians: Medians) -> Iterator[Verdict]:
    ours = medians.get(OURS, {})
    yield from _against(medians, OURS, "full", "cpu_s", FLOOR, 1.10)
    yield from _against(medians, OURS, "full", "cpu_s", BORG, 1.0)
    yield from _against(medians, OURS_PLAIN, "full", "cpu_s", BORG_PLAIN, 1.0)
    yield from _against_best(medians, "full", "wall_s", 0.55)
    for step in ("inc1", "inc2"):
        for cost in ("cpu_s", "wall_s"):
            yield from _against(medians, OURS, step, cost, FLOOR, 1.2, plus=0.1)
            yield from _against(medians, OURS, step, cost, BENJI, 0.35)
            yield from _against(medians, OURS, step, cost, RESTIC, 0.15)
    for cost in ("wall_s", "cpu_s"):
        yield from _against_best(medians, "restore", cost, 0.5)
        yield from _against(medians, OURS, "restore", cost, FLOOR, 1.0)
    yield from _against(medians, OURS, "verify", "cpu_s", BORG, 0.6)
    yield from _against(medians, OURS_PLAIN, "verify", "cpu_s", BORG_PLAIN, 0.6)
    sizes = {
        tool: medians[tool]["inc2"].stored_bytes / 1e6
        for tool in (RESTIC, BORG, BORG_PLAIN)
        if "inc2" in medians.get(tool, {})
    }
    if sizes and "inc2" in ours:
        least = min(sizes, key=sizes.__getitem__)
        yield Verdict("repository after three backups", ours["inc2"].stored_bytes / 1e6, sizes[least], "MB", least)
    if ours:
        peak = max(step.memory_peak_bytes for step in ours.values()) / MIB
        yield Verdict("memory of the daemon", peak, 150, "MiB", "")
    if "full" in ours:
        requests = ours["full"].objects / (ours["full"].stored_bytes / (8 * MIB))
        yield Verdict("full: objects for each 8 MiB stored", requests, 1.0, "", "")


def _against(
    medians: Medians, tool: str, step: str, cost: str, other: str, factor: float, plus: float = 0.0
) -> Iterator[Verdict]:
    if step not in medians.get(tool, {}) or step not in medians.get(other, {}):
        return
    reached, theirs = getattr(medians[tool][step], cost), getattr(medians[other][step], cost)
    added = f" + {plus:g} s" if plus else ""
    who = "" if tool == OURS else f"{tool}: "
    name = f"{who}{step}, {_COSTS[cost]}"
    yield Verdict(name, reached, factor * theirs + plus, "s", f"{factor:g} of {other}{added}")


def _against_best(medians: Medians, step: str, cost: str, factor: float) -> Iterator[Verdict]:
    peers = {tool for tool, steps in medians.items() if step in steps and not tool.startswith(_NO_PEERS)}
    if peers:
        best = min(peers, key=lambda tool: float(getattr(medians[tool][step], cost)))
        yield from _against(medians, OURS, step, cost, best, factor)


def _of_measures(measures: Mapping[str, Any]) -> Iterator[Verdict]:
    for name, verdicts in _MEASURES.items():
        if name in measures:
            yield from verdicts(measures[name])


def _sparse(found: Mapping[str, float]) -> Iterator[Verdict]:
    basis = "64 chunks in 16 TiB"
    yield Verdict("increment: beyond the data", found["beyond_data_s"] * 1000, 200, "ms", basis)
    yield Verdict("increment: written beyond the data", found["beyond_data_bytes"] / MIB, 4, "MiB", basis)
    yield Verdict("increment: objects put", found["objects_of_few"], 3, "", "8 chunks in 16 TiB")


def _volumes(found: Mapping[str, float]) -> Iterator[Verdict]:
    count = f"{found['count']:g} volumes at once"
    yield Verdict("time together / one by one", found["together_s"] / found["one_by_one_s"], 1 / 0.95, "", count)
    yield Verdict("spread of their times around the median", found["unfairness"], 0.10, "", count)


def _latency(found: Mapping[str, float]) -> Iterator[Verdict]:
    basis = "50 ms more for each request to S3"
    yield Verdict("full: time with / without", found["full_slow_s"] / found["full_s"], 1 / 0.8, "", basis)
    slower = found["restore_slow_s"] / found["restore_s"]
    yield Verdict("restore: time with / without", slower, 1 / 0.7, "", basis)


_COSTS = {"cpu_s": "CPU", "wall_s": "wall"}
_MEASURES: Mapping[str, Callable[[Mapping[str, float]], Iterator[Verdict]]] = {
    "sparse": _sparse,
    "volumes": _volumes,
    "latency": _latency,
}
