from __future__ import annotations

import os
from pathlib import Path

import pytest

from backupd.catalog.store import Catalog
from backupd.errors import ConfigError
from backupd.state_dir import StateDir, locked
from tests.support.virtual_clock import VirtualClock


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def write_catalog(state: StateDir) -> None:
    catalog = await Catalog.open(state.catalog_url(), VirtualClock())
    try:
        assert [mode(path) for path in state.path.glob("catalog.db*")] == [0o600, 0o600, 0o600]
    finally:
        await catalog.aclose()


async def test_only_the_owner_reads_what_is_in_it(tmp_path: Path) -> None:
    umask = os.umask(0o022)
    try:
        with locked(tmp_path / "state") as state:
            state.open_keyring()
            await write_catalog(state)
            assert mode(state.path) == 0o700
            assert {path.name: mode(path) for path in state.path.iterdir()} == {
                "lock": 0o600,
                "master.key": 0o600,
                "catalog.db": 0o600,
            }
    finally:
        os.umask(umask)


async def test_a_catalog_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    state.catalog.touch()
    state.catalog.chmod(0o644)
    await write_catalog(state)


@pytest.mark.parametrize("open_mode", [0o720, 0o702, 0o777, 0o1777])
def test_a_directory_that_others_can_write_to_is_refused(tmp_path: Path, open_mode: int) -> None:
    tmp_path.chmod(open_mode)
    with pytest.raises(ConfigError) as caught, locked(tmp_path):
        pass
    assert str(caught.value) == (
        f"daemon.state_dir = '{tmp_path}': has mode {open_mode:04o}; "
        "expected a directory that only its owner can write to\n"
        f"HINT: chmod 0700 {tmp_path}, or name one below it, which is then made"
    )


def test_a_directory_that_others_can_read_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tmp_path.chmod(0o755)
    with locked(tmp_path):
        pass
    (message,) = caplog.messages
    assert message == f"daemon.state_dir = '{tmp_path}': others can look into it\nHINT: chmod 0700 {tmp_path}"


def test_a_catalog_that_is_a_directory_is_told(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    state.catalog.mkdir()
    with pytest.raises(ConfigError, match=f"daemon.state_dir = '{tmp_path}': cannot be used: is a directory"):
        state.catalog_url()
