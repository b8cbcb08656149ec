"""The real worker, jobs, pipelines, repository and catalog against bad luck; one seed is one run.

``make simulate SEED=7`` does run 7 alone.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.simulation.run import simulate
from tests.support.simulated_loop import run_simulated

RUNS = 30


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    chosen: int | None = metafunc.config.getoption("--seed")
    metafunc.parametrize("seed", range(RUNS) if chosen is None else [chosen])


def test_whatever_happens_backups_stay_exact(seed: int, tmp_path: Path) -> None:
    run_simulated(simulate(tmp_path), seed=seed)
