"""The real clients of OpenStack, in an environment of their own, as processes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.loop_device import not_run

CLIENTS = Path(__file__).parents[2] / ".clients"
_TIMEOUT_S = 50


@pytest.fixture(scope="session")
def clients(request: pytest.FixtureRequest) -> Path:
    """Return where the programs are."""
    if not (CLIENTS / "bin" / "openstack").exists():
        not_run(request.config, "the clients of OpenStack are missing here: make servers")
    return CLIENTS / "bin"


async def run(command: list[str], environment: dict[str, str], *, timeout_s: float = _TIMEOUT_S) -> tuple[int, str]:
    """Run a program with nothing of ours in its environment; return its exit code and what it printed."""
    known = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "PYTHONWARNINGS": "ignore"} | environment
    process = await asyncio.create_subprocess_exec(
        "env",
        "-i",
        *(f"{name}={value}" for name, value in known.items()),
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(timeout_s):
            printed, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, printed.decode()


class Cli:
    """One client with one environment."""

    def __init__(self, program: Path, environment: dict[str, str]) -> None:
        self._program = program
        self._environment = environment

    async def ask(self, *words: str) -> tuple[int, str]:
        """Return the exit code and what was printed."""
        return await run([str(self._program), *words], self._environment)

    async def do(self, *words: str) -> str:
        """Do what must succeed and return what was printed."""
        code, printed = await self.ask(*words)
        assert code == 0, f"{' '.join(words)}: {printed}"
        return printed

    async def json(self, *words: str) -> Any:
        """Return what an ``openstack`` command prints as JSON."""
        return json.loads(await self.do(*words, "-f", "json"))

    async def table(self, *words: str) -> list[list[str]]:
        """Return the rows of the table that a ``cinder`` command prints."""
        lines = (await self.do(*words)).splitlines()
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
        return rows[1:]

    async def fields(self, *words: str) -> dict[str, str]:
        """Return the properties that a ``cinder`` command prints."""
        return dict(row[:2] for row in await self.table(*words))


def cinder(clients: Path, url: str, project: str) -> Cli:
    """Return the ``cinder`` of a project, without Keystone."""
    environment = {
        "OS_AUTH_TYPE": "noauth",
        "CINDER_ENDPOINT": f"{url}/v3/{project}",
        "OS_PROJECT_ID": project,
        "OS_USER_ID": "somebody",
        "OS_VOLUME_API_VERSION": "3.71",
    }
    return Cli(clients / "cinder", environment)


def openstack(clients: Path, url: str, project: str) -> Cli:
    """Return the ``openstack`` of a project, without Keystone: the two lines of the README."""
    return Cli(clients / "openstack", {"OS_AUTH_TYPE": "none", "OS_ENDPOINT": f"{url}/v3/{project}"})
