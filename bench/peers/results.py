"""What was measured, as JSON keeps it, and its medians."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

STEPS = ("full", "verify", "inc1", "inc2", "restore")


@dataclass(frozen=True, slots=True)
class Step:
    """What a step took, and what the repository was after it. Medians may fall between two whole numbers."""

    wall_s: float
    cpu_s: float
    memory_peak_bytes: float
    stored_bytes: float
    objects: float


@dataclass(slots=True)
class Run:
    """One tool in one round. ``failure``: what it said when it failed; the steps before that count."""

    tool: str
    about: str
    steps: dict[str, Step] = field(default_factory=dict)
    failure: str = ""


@dataclass(slots=True)
class Results:
    """All runs on one set of images, in the order in which they were made; ``machine`` is that of the last."""

    size: str
    machine: dict[str, Any] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    measures: dict[str, Any] = field(default_factory=dict)
    """What needs no peer, by its name."""

    def without(self, tools: Iterable[str]) -> None:
        """Forget the runs of these tools: they are measured anew."""
        left_out = set(tools)
        self.runs = [run for run in self.runs if run.tool not in left_out]

    def medians(self) -> dict[str, dict[str, Step]]:
        """Return tool -> step -> medians over the rounds in which that step was done."""
        tools = {run.tool: None for run in self.runs}
        return {tool: _medians([run.steps for run in self.runs if run.tool == tool]) for tool in tools}


def _medians(rounds: Sequence[Mapping[str, Step]]) -> dict[str, Step]:
    found = {name: [steps[name] for steps in rounds if name in steps] for name in STEPS}
    return {name: _median(steps) for name, steps in found.items() if steps}


def _median(steps: Sequence[Step]) -> Step:
    names = Step.__dataclass_fields__
    return Step(**{name: statistics.median(getattr(step, name) for step in steps) for name in names})


def load(path: Path, size: str) -> Results:
    """Return what the file has; nothing when there is none, or when it is of other images."""
    if not path.exists():
        return Results(size)
    document = json.loads(path.read_text())
    if document["size"] != size:
        return Results(size)
    runs = [
        Run(**{**run, "steps": {name: Step(**step) for name, step in run["steps"].items()}}) for run in document["runs"]
    ]
    return Results(**{**document, "runs": runs})


def save(results: Results, path: Path) -> None:
    """Write the file anew."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(results), indent=1) + "\n")
