"""The real service against bad luck; one seed is one run, and ``backupd simulate --seed 7`` has that one again."""

from __future__ import annotations

import subprocess
import sys

import pytest

from backupd.model import JobKind
from backupd.simulation.node import SIMULATED_KINDS
from backupd.simulation.simulate import simulate
from tests.support.daemon import ROOT

RUNS = 12
DAYS = 30
REPLAYED_DAYS = 12
DIGEST_OF = "from backupd.simulation.simulate import simulate; print(simulate({seed}, days={days}).digest)"


@pytest.mark.parametrize("seed", range(RUNS))
def test_p2_keep_whatever_happens_in_a_month_every_promise_is_kept(seed: int) -> None:
    outcome = simulate(seed, days=DAYS)
    assert not outcome.failure, "\n".join(["the last events:", *outcome.last_events, outcome.failure])


def digest_in_process(seed: int, *, hash_seed: str) -> str:
    program = DIGEST_OF.format(seed=seed, days=REPLAYED_DAYS)
    command = ["/usr/bin/env", f"PYTHONHASHSEED={hash_seed}", sys.executable, "-c", program]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("seed", [1, 2])
def test_one_seed_is_one_run_in_every_process(seed: int) -> None:
    assert digest_in_process(seed, hash_seed="1") == digest_in_process(seed, hash_seed="2")


def test_two_seeds_are_two_runs() -> None:
    assert simulate(1, days=2).digest != simulate(2, days=2).digest


def test_every_kind_of_job_is_simulated_but_probes_which_have_real_servers() -> None:
    assert set(JobKind) - SIMULATED_KINDS == {JobKind.PROBE, JobKind.CLONE, JobKind.IMPORT}
