"""The tables in the design page are those of the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from backupd.states import BACKUP, JOB, BackupEvent, JobEvent, Machine

PAGE = Path(__file__).parents[3] / "docs" / "design" / "002-jobs-and-leases.md"


def table(noun: str) -> set[tuple[str, str, str]]:
    """Return (state, event, state) of each transition in the page's table."""
    lines = PAGE.read_text(encoding="utf-8").split(f"| {noun} |")[1].split("\n\n")[0].splitlines()
    events, *rows = [[re.sub("[*¹²³⁴⁵⁶]", "", cell).strip() for cell in line.strip("|").split("|")] for line in lines]
    return {
        (state, event.replace(" ", "_"), after)
        for state, *cells in rows[1:]
        for event, after in zip(events, cells, strict=True)
        if after != "–"  # noqa: RUF001 - the page's dash
    }


@pytest.mark.parametrize(("noun", "machine", "events"), [("job", JOB, JobEvent), ("backup", BACKUP, BackupEvent)])
def test_the_page_has_the_transitions_of_the_code(noun: str, machine: Machine[Any, Any], events: Any) -> None:
    assert table(noun) == {(state, event, after) for (state, event), after in machine.transitions.items()}
    assert {event for _, event, _ in table(noun)} == set(events)
