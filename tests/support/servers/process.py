"""A server in a process group of its own, that a test may stop, kill, pause and start again."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from backupd.clock import SystemClock

T = TypeVar("T")

_POLL_S = 0.05
_LOG_TAIL_BYTES = 3000
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Missing(Exception):
    """A server cannot run here; says what it lacks, and how to get that."""


class ServerProcess:
    """Starts ``command`` and waits until ``is_ready``; the output goes to ``directory``/``name``.log.

    Starting it again uses the same command, so the same ports and data.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        directory: Path,
        is_ready: Callable[[], bool],
        start_timeout_s: float = 60.0,
        stop_timeout_s: float = 10.0,
    ) -> None:
        self.name = name
        self._command = command
        self._directory = directory
        self._is_ready = is_ready
        self._start_timeout_s = start_timeout_s
        self._stop_timeout_s = stop_timeout_s
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self._directory / f"{self.name}.log"

    def cpu_s(self) -> float:
        """Return the processor time of it and everything that it started, as far as that still runs."""
        assert self._process is not None
        return sum(ticks for group, ticks in _groups_ticks() if group == self._process.pid) / _TICKS_PER_S

    def start(self) -> None:
        """Start it and return when it answers; RuntimeError with the end of its log when it does not."""
        self.launch()
        self.await_ready()

    def launch(self) -> None:
        """Start it and do not wait, so that several may start at a time; ``await_ready`` comes next."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def await_ready(self) -> None:
        """Return when it answers; RuntimeError with the end of its log when it does not."""
        clock = SystemClock()
        deadline_s = clock.monotonic() + self._start_timeout_s
        while not self._is_ready():
            if clock.monotonic() > deadline_s or not self._is_running(_POLL_S):
                self.kill()
                tail = self.log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")
                raise RuntimeError(f"{self.name} does not start: {tail}")

    def stop(self) -> None:
        """Ask it to end, and end it when it does not."""
        if self._process is not None:
            self._signal(signal.SIGCONT)
            self._signal(signal.SIGTERM)
            self._is_running(self._stop_timeout_s)
            self.kill()

    def kill(self) -> None:
        """End it and everything that it started, now."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Let it hang: connections stand, and nothing is answered."""
        assert self._process is not None
        self._signal(signal.SIGSTOP)
        # The last of its threads may answer for a while on a busy machine.
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _is_running(self, timeout_s: float) -> bool:
        assert self._process is not None
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return True
        return False

    def _signal(self, number: int) -> None:
        assert self._process is not None
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return  # It has ended by itself.


def _groups_ticks() -> Iterator[tuple[int, int]]:
    """Yield (process group, processor time in ticks) of every process of the machine."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # It has ended meanwhile.
        yield int(fields[2]), int(fields[11]) + int(fields[12])


def free_port() -> int:
    """Return a port of the loopback that nobody uses at the moment."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


def free_ports(count: int) -> list[int]:
    """Return as many of them, all different."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for listening in sockets:
            listening.bind(("127.0.0.1", 0))
        return [listening.getsockname()[1] for listening in sockets]


def answers(url: str, *, timeout_s: float = 1.0) -> bool:
    """Tell whether something speaks HTTP there; an error of the client's making is an answer too."""
    try:
        with urllib.request.urlopen(url, timeout=timeout_s):
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return error.code < 500
    except OSError:
        return False


async def in_thread(work: Callable[[], T]) -> T:
    """Do something that blocks, such as starting a server, while the loop goes on."""
    return await asyncio.to_thread(work)
