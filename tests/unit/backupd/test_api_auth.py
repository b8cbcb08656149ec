from __future__ import annotations

from pathlib import Path

import pytest

from backupd.api import Tokens, read_tokens
from backupd.api.identity import OPERATOR
from backupd.errors import ConfigError

FIRST, SECOND = "first-token-of-two", "second-token-of-two"


def tokens_in(path: Path, text: str) -> Tokens:
    file = path / "tokens"
    file.write_text(text)
    return read_tokens(file)


def test_each_line_is_a_token(tmp_path: Path) -> None:
    tokens = tokens_in(tmp_path, f"# operators\n{FIRST}\n\n  {SECOND}  \n")
    assert tokens.find(FIRST) == tokens.find(SECOND) == OPERATOR


@pytest.mark.parametrize("token", ["", FIRST[:-1], f"{FIRST}x", f"{FIRST}\n{SECOND}", "ä", "\udcff"])
def test_nothing_else_is_a_token(tmp_path: Path, token: str) -> None:
    assert tokens_in(tmp_path, f"# operators\n{FIRST}\n{SECOND}\n").find(token) is None


def test_tokens_are_never_shown(tmp_path: Path) -> None:
    tokens = tokens_in(tmp_path, FIRST)
    assert FIRST not in f"{tokens!r} {tokens}"


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n"])
def test_a_file_without_a_token_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="holds no token; expected one per line"):
        tokens_in(tmp_path, text)


@pytest.mark.parametrize("token", ["short", "sixteen-and-ä-more", "two words and more"])
def test_a_weak_or_odd_token_is_refused_by_its_line_and_not_repeated(tmp_path: Path, token: str) -> None:
    with pytest.raises(ConfigError, match="line 2: expected at least 16 ASCII characters") as caught:
        tokens_in(tmp_path, f"{FIRST}\n{token}\n")
    assert token not in str(caught.value)


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_tokens(tmp_path / "none")
    assert str(caught.value) == f"daemon.token_file = '{tmp_path}/none': cannot be read: no such file or directory"


def test_bytes_that_are_no_text_are_refused_and_not_repeated(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_bytes(b"hunter2hunter2hunter2\n\xff")
    with pytest.raises(ConfigError) as caught:
        read_tokens(file)
    assert str(caught.value) == f"daemon.token_file = '{file}': byte 22 is not text; expected one token per line"
    assert caught.value.__cause__ is None
