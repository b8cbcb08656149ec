"""The benchmark of the targets on the one store that needs no server: it runs, and prints every row."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.targets import main

TINY = ("--rounds", "1", "--size-mib", "2", "--pack-mib", "1", "--seconds", "0.01", "--at-a-time", "1,3")


def test_benchmark_measures_objects_and_backups(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures = tmp_path / "figures.json"
    directory = ("--directory", str(tmp_path))
    parts = ("--parts", "transfers,backups")
    assert main(["--only", "file", *TINY, *parts, *directory, "--json", str(figures)]) == 0
    written = json.loads(figures.read_text())
    rows = [(row["job"], row["size_bytes"], row["concurrency"]) for row in written["transfers"]]
    assert rows == [(job, size, n) for size in (1 << 20, 1 << 16) for n in (1, 3) for job in ("put", "get")]
    (backup,) = written["backups"]
    assert [cost["requests"] > 0 and cost["sent_bytes"] > 0 for cost in backup["rounds"][0]] == [True, True]
    printed = capsys.readouterr().out
    assert printed.count("\nfile ") == len(rows) + 1
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"]


def test_benchmark_tells_what_takes_the_time_of_a_daemon(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "file", *TINY, "--parts", "profiles", "--directory", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    chunks = next(line.split() for line in printed.splitlines() if line.startswith("chunks "))
    assert len([float(taken_s) for taken_s in chunks[1:]]) == 2  # How much it is hangs on the machine.


def test_store_that_fails_is_told_by_the_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--only", "file", *TINY, "--parts", "transfers", "--at-a-time", "0"]
    assert main([*arguments, "--directory", str(tmp_path)]) == 1
    assert "file failed:" in capsys.readouterr().out
