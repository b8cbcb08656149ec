from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from backupd.__main__ import main


class Start:
    """Starts a daemon that must not start; ``file`` is its configuration, ``state`` its state directory."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root = root
        self.file = root / "backupd.toml"
        self.state = root / "state"
        (root / "target").mkdir()
        self._capsys = capsys

    def problems(self, daemon: str = "", targets: str = "") -> list[str]:
        """Return the lines that it ends with, without the name of the program."""
        targets = targets or f'[targets.a]\nurl = "file://{self.root}/target"\n'
        self.file.write_text(f'[daemon]\nstate_dir = "{self.state}"\n{daemon}\n{targets}')
        assert main(["serve", "--config", str(self.file)]) == 1
        error = self._capsys.readouterr().err
        assert error.startswith("backupd: ")
        return error.removeprefix("backupd: ").splitlines()


@pytest.fixture
def start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Start:
    return Start(tmp_path, capsys)


@pytest.fixture
def used_port() -> Iterator[int]:
    with socket.socket() as used:
        used.bind(("127.0.0.1", 0))
        used.listen()
        yield used.getsockname()[1]


def test_a_port_in_use_is_told_in_one_line(start: Start, used_port: int) -> None:
    (problem,) = start.problems(f'listen = "127.0.0.1:{used_port}"')
    assert problem.startswith(f"{start.file}: daemon.listen = '127.0.0.1:{used_port}': ")
    assert "address already in use" in problem
    assert problem.endswith("expected a free address of this machine")


@pytest.mark.parametrize("host", ["192.0.2.1", "198.51.100.1"])
def test_an_address_that_is_not_ours_is_told_in_one_line(start: Start, host: str) -> None:
    tokens = start.root / "tokens"
    tokens.touch(mode=0o600)
    tokens.write_text("a-token-for-the-tests\n")
    (problem,) = start.problems(f'listen = "{host}:8776"\ntoken_file = "{tokens}"')
    assert problem.startswith(f"{start.file}: daemon.listen = '{host}:8776': ")


def test_all_bad_targets_are_told_at_once_with_file_key_and_value(start: Start) -> None:
    targets = {
        "a": 'url = "file:relative"',
        "b": f'url = "file://{start.root}/none"',
        "c": f'url = "file://{start.root}/target"\noptions = {{ thread = 3 }}',
        "d": 'url = "nothing:x"',
    }
    problems = start.problems(targets="".join(f"[targets.{name}]\n{text}\n" for name, text in targets.items()))
    beginnings = [
        "targets.a.url = 'file:relative': expected file:// and an absolute path",
        f"targets.b.url = 'file://{start.root}/none': root {start.root}/none: expected a directory",
        "targets.c.options.thread: unknown for a file target, expected one of: ",
        "targets.d.url = 'nothing:x': unknown scheme 'nothing', expected one of ",
    ]
    assert len(problems) == len(beginnings)
    for problem, beginning in zip(problems, beginnings, strict=True):
        assert problem.startswith(f"{start.file}: {beginning}")


def test_a_token_file_that_is_no_text_is_told_with_file_and_key(start: Start) -> None:
    tokens = start.root / "tokens"
    tokens.touch(mode=0o600)
    tokens.write_bytes(b"\xff\xfe")
    (problem,) = start.problems(f'token_file = "{tokens}"')
    assert problem == (f"{start.file}: daemon.token_file = '{tokens}': byte 0 is not text; expected one token per line")


def test_a_state_directory_that_is_a_file_is_told_with_file_and_key(start: Start) -> None:
    start.state.touch()
    (problem,) = start.problems()
    assert problem == f"{start.file}: daemon.state_dir = '{start.state}': cannot be used: file exists"
