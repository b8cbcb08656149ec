"""Runs a command and says what it and everything that it started took."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.peers.tool import Cost

_USAGE = Path(__file__).with_name("usage.py")
_TAIL_BYTES = 600


class CommandFailed(Exception):
    """Says which command, and the end of what it printed."""


def run(command: Sequence[str | Path], *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Cost:
    """Run it to its end. Raises CommandFailed when it fails."""
    words = ["env", *(f"{name}={value}" for name, value in (env or {}).items()), *(str(word) for word in command)]
    with tempfile.NamedTemporaryFile("r") as report:
        done = subprocess.run(
            [sys.executable, "-S", "-E", _USAGE, report.name, *words],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if done.returncode != 0:
            raise CommandFailed(f"{' '.join(words)}\n{done.stdout.decode(errors='replace')[-_TAIL_BYTES:]}")
        wall_s, cpu_s, peak_kib = map(float, report.read().split())
    return Cost(wall_s, cpu_s, int(peak_kib) * 1024)
