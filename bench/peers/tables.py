"""The tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from bench.peers.goals import MIB, Verdict
from bench.peers.results import STEPS, Results, Step


def of_tools(results: Results) -> str:
    """Return a row for each tool: processor seconds / seconds / MiB, then the repository."""
    lines = [
        "| tool | rounds | " + " | ".join(STEPS) + " | repository MB | objects |",
        "|---" * (len(STEPS) + 4) + "|",
    ]
    for tool, steps in results.medians().items():
        rounds = sum(run.tool == tool and not run.failure for run in results.runs)
        cells = [_cost(steps.get(name)) for name in STEPS]
        lines.append(f"| {tool} | {rounds} | {' | '.join(cells)} | {_stored(steps)} | {_objects(steps)} |")
    return "\n".join(lines)


def of_goals(verdicts: Iterable[Verdict]) -> str:
    """Return a row for each goal, whether it was reached or not."""
    lines = ["| measure | reached | goal | of | |", "|---|---|---|---|---|"]
    for verdict in verdicts:
        unit = f" {verdict.unit}" if verdict.unit else ""
        mark = "met" if verdict.is_met else "**short**"
        goal = f"{_number(verdict.limit)}{unit}"
        lines.append(f"| {verdict.measure} | {_number(verdict.reached)}{unit} | {goal} | {verdict.basis} | {mark} |")
    return "\n".join(lines)


def short(verdicts: Sequence[Verdict]) -> str:
    """Return what fell short, a line each. Goals whose figures are missing were not judged."""
    return "\n".join(_short(verdict) for verdict in verdicts if not verdict.is_met) or (
        f"Of the goals, {len(verdicts)} could be judged, and none fell short."
    )


def _short(verdict: Verdict) -> str:
    unit = f" {verdict.unit}" if verdict.unit else ""
    basis = f" ({verdict.basis})" if verdict.basis else ""
    return f"- {verdict.measure}: {_number(verdict.reached)} instead of {_number(verdict.limit)}{unit}{basis}"


def about(results: Results) -> str:
    """Return what each tool is, and what failed."""
    tools = {run.tool: run.about for run in results.runs}
    return "\n".join([*(f"- **{tool}**: {text}" for tool, text in tools.items()), *_failures(results)])


def _failures(results: Results) -> Iterator[str]:
    for run in results.runs:
        if run.failure:
            yield f"- **{run.tool}** failed: {run.failure.splitlines()[-1]}"


def _cost(step: Step | None) -> str:
    if step is None:
        return "-"
    return f"**{step.cpu_s:.2f}** / {step.wall_s:.2f} / {step.memory_peak_bytes / MIB:.0f}"


def _stored(steps: dict[str, Step]) -> str:
    """Return the bytes after the full backup, and what each increment added."""
    sizes = [steps[name].stored_bytes / 1e6 for name in ("full", "inc1", "inc2") if name in steps]
    added = [f"{after - before:.0f}" for before, after in pairwise(sizes)]
    return " + ".join([f"{size:.0f}" for size in sizes[:1]] + added) or "-"


def _objects(steps: dict[str, Step]) -> str:
    counts = [f"{steps[name].objects:.0f}" for name in ("full", "inc2") if name in steps]
    return " → ".join(counts) or "-"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}"
