"""A real daemon in a process of its own, with everything that it needs below one directory."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from backupd.clock import SystemClock
from tests.support.api import Api

ROOT = Path(__file__).parents[2]
_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 30.0
_POLL_INTERVAL_S = 0.02
_LISTENING = re.compile(r"listening on (http://\S+)\n")
_CONFIG = """
[daemon]
state_dir = "{root}/state"
listen = "127.0.0.1:0"
workers = 2
shutdown_timeout_s = {shutdown_timeout_s}
copies_interval_s = 0.2
[paths]
sources = ["{root}/sources", "/dev"]
restores = ["{root}/restores", "/dev"]
[defaults]
bytes_per_s = {bytes_per_s}
retries_max = 1
[targets.local]
url = "file://{root}/target"
"""


class Place:
    """The directories of one daemon. ``more`` is what its configuration has besides the target ``local``."""

    def __init__(self, root: Path, *, bytes_per_s: int = 0, shutdown_timeout_s: float = 30, more: str = "") -> None:
        self.root = root
        self.more = more
        self.sources = root / "sources"
        self.restores = root / "restores"
        self.target = root / "target"
        self.config = root / "backupd.toml"
        for directory in (self.sources, self.restores, self.target):
            directory.mkdir(exist_ok=True)
        self.configure(bytes_per_s=bytes_per_s, shutdown_timeout_s=shutdown_timeout_s)

    def configure(self, *, bytes_per_s: int = 0, shutdown_timeout_s: float = 30) -> None:
        """Write the configuration that the next daemon starts with; ``bytes_per_s`` 0 is no limit."""
        text = _CONFIG.format(root=self.root, bytes_per_s=bytes_per_s, shutdown_timeout_s=shutdown_timeout_s)
        self.config.write_text(text + self.more.format(root=self.root))

    def objects(self, kind: str = "*") -> dict[str, int]:
        """Return key -> size of the objects of every repository below ``kind``, such as ``packs``."""
        found = (path for path in self.target.glob(f"default/*/{kind}/**/*") if path.is_file())
        return {str(path.relative_to(self.target)): path.stat().st_size for path in found}

    def leftovers(self) -> list[Path]:
        """Return every unfinished file on the target and where backups are restored to."""
        return [*self.target.glob(".tmp/*"), *self.restores.glob(".*")]


class Daemon(Api):
    """A running daemon, asked through HTTP, and its process."""

    def __init__(
        self, url: str, session: aiohttp.ClientSession, process: subprocess.Popen[bytes], place: Place
    ) -> None:
        super().__init__(url, session)
        self._process = process
        self.place = place

    def descriptors(self) -> list[str]:
        """Return what the process has open, sockets left out: those are ours, too."""
        found = [str(link.readlink()) for link in Path(f"/proc/{self._process.pid}/fd").iterdir()]
        return sorted(name for name in found if not name.startswith("socket:"))

    def stop(self) -> int:
        """Stop gracefully and return the exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(_STOP_TIMEOUT_S)

    def backupctl(self, *arguments: str) -> tuple[int, Any]:
        """Run the command line against this daemon; return its exit code and its JSON, or what it complained."""
        command = [sys.executable, "-m", "backupd.cli", "--json", "--url", self.url, *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        return done.returncode, json.loads(done.stdout) if done.stdout.strip() else done.stderr


@asynccontextmanager
async def serving(place: Place) -> AsyncIterator[Daemon]:
    """Run a daemon for as long as the context lasts."""
    log_path = place.root / "daemon.log"
    with log_path.open("wb") as log:
        command = [sys.executable, "-m", "backupd", "serve", "--config", str(place.config)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    try:
        url = await _address(process, log_path)
        async with aiohttp.ClientSession() as session:
            yield Daemon(url, session, process, place)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_TIMEOUT_S)
        finally:
            process.kill()


async def _address(process: subprocess.Popen[bytes], log_path: Path) -> str:
    clock = SystemClock()
    deadline_s = clock.monotonic() + _START_TIMEOUT_S
    while not (found := _LISTENING.search(log_path.read_text())):
        assert process.poll() is None, log_path.read_text()
        assert clock.monotonic() < deadline_s, log_path.read_text()
        await clock.sleep(_POLL_INTERVAL_S)
    return found[1]


def read_for_changes(backup: Mapping[str, Any]) -> int:
    """Return how much a backup read of its volume, without what it read to see whether tracking is right."""
    statistics = backup["statistics"]
    return int(statistics["read_bytes"] - statistics["audited_bytes"])
