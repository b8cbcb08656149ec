"""A daemon of its own for the measurements, asked through its API."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_CONFIG = """
[daemon]
state_dir = "{root}/state"
listen = "127.0.0.1:{port}"
workers = {threads}
{settings}
[paths]
sources = ["{root}"]
restores = ["{root}"]
[targets.local]
url = "file://{root}/target"
"""
_POLL_S = 0.25  # Seldom, because answering costs the daemon CPU; times come from the job itself.
_START_TIMEOUT_S = 60.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Daemon:
    """Runs ``backupd serve`` below ``root`` while the context lasts.

    It has a target ``local``; ``settings`` is what its section ``[daemon]`` has besides, ``more`` what its
    configuration has. ``module`` is what runs it, with the arguments that come before those of ``backupd``.
    """

    def __init__(
        self,
        root: Path,
        *,
        threads: int,
        port: int,
        settings: str = "",
        more: str = "",
        module: Sequence[str] = ("backupd",),
    ) -> None:
        self._root = root
        self._module = module
        self._url = f"http://127.0.0.1:{port}"
        (root / "target").mkdir(exist_ok=True)
        self._config = root / "backupd.toml"
        self._config.write_text(_CONFIG.format(root=root, port=port, threads=threads, settings=settings) + more)

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", *self._module, "serve", "--config", str(self._config)]
        with (self._root / "daemon.log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            self._wait_for_an_answer()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait()

    def _wait_for_an_answer(self) -> None:
        deadline_s = time.monotonic() + _START_TIMEOUT_S
        while True:
            try:
                self.get("/healthz")
            except OSError:
                if time.monotonic() > deadline_s or self._process.poll() is not None:
                    said = (self._root / "daemon.log").read_text()
                    raise RuntimeError(f"the daemon did not answer within {_START_TIMEOUT_S:g} s: {said}") from None
                time.sleep(_POLL_S)
            else:
                return

    @property
    def pid(self) -> int:
        """Return the number of its process."""
        return self._process.pid

    def get(self, path: str) -> Any:
        """Return what the API answers."""
        with urllib.request.urlopen(self._url + path) as answer:
            return json.load(answer)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Ask the API to do something."""
        request = urllib.request.Request(
            self._url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def run(self, path: str, body: dict[str, Any], *, target: str = "local") -> dict[str, Any]:
        """Run a job to its end; return it, with the wall and CPU seconds, peak memory and requests that it took."""
        self.forget_peak_memory()
        traffic = self.get(f"/v1/targets/{target}")["traffic"]
        started_cpu_s = self._cpu_s()
        job = self.ended(self.post(path, body)["job"])
        cost = {
            "wall_s": seconds_between(job["created_at"], job["finished_at"]),
            "cpu_s": self._cpu_s() - started_cpu_s,
            "memory_peak_bytes": self.peak_memory_bytes(),
            **{name: n - traffic[name] for name, n in self.get(f"/v1/targets/{target}")["traffic"].items()},
        }
        measured: dict[str, Any] = job | cost
        return measured

    def ended(self, job: dict[str, Any]) -> dict[str, Any]:
        """Return the job when it has ended. Raises RuntimeError unless it succeeded."""
        while job["state"] in ("queued", "running"):
            time.sleep(_POLL_S)
            job = self.get(f"/v1/jobs/{job['id']}")
        if job["state"] != "succeeded":
            raise RuntimeError(f"job {job['state']}: {job}")
        return job

    def _cpu_s(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S

    def forget_peak_memory(self) -> None:
        """Let ``peak_memory_bytes`` begin with what is in memory now."""
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")

    def peak_memory_bytes(self) -> int:
        """Return the most that was resident."""
        return self._status_bytes("VmHWM")

    def memory_bytes(self) -> int:
        """Return what is resident now."""
        return self._status_bytes("VmRSS")

    def _status_bytes(self, name: str) -> int:
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.split(f"{name}:")[1].split()[0]) * 1024


def seconds_between(start: str, end: str) -> float:
    """Return how long it is from one time of the API to another."""
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
