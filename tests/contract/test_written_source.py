"""The source on the page that tells how to write one keeps the contract, by the test on that page."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.daemon import ROOT
from tests.support.written_page import SOURCE_PAGE, blocks, install_page


def test_the_test_of_the_page_passes(tmp_path: Path) -> None:
    install_page(tmp_path, SOURCE_PAGE)
    (tmp_path / "test_backupd_generations.py").write_text(blocks("python", SOURCE_PAGE)[1])
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", "-c", "pytest.ini"]
    run = subprocess.run(
        [*command, "test_backupd_generations.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout
    assert " passed" in run.stdout


def test_it_is_short() -> None:
    assert len(blocks("python", SOURCE_PAGE)[0].splitlines()) < 100
