from __future__ import annotations

import os
from pathlib import Path

import pytest

from backupd.errors import KeyMismatch, KeyMissing
from backupd.repository import keyring
from backupd.repository.keyring import Keyring

FIRST, SECOND = bytes(range(32)), bytes(range(32, 64))


def write(path: Path, *lines: str, mode: int = 0o600) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    path.chmod(mode)
    return path


def test_a_new_file_holds_one_key_that_only_its_owner_reads(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "master"
    made = keyring.create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    loaded = keyring.load(path)
    assert loaded.key(made.current_fingerprint) == made.key(made.current_fingerprint)
    assert list(path.parent.iterdir()) == [path]


def test_no_two_new_keys_are_equal(tmp_path: Path) -> None:
    made = {keyring.create(tmp_path / name).current_fingerprint for name in "abc"}
    assert len(made) == 3


def test_a_key_file_is_never_replaced(tmp_path: Path) -> None:
    path = write(tmp_path / "master", keyring.line(FIRST))
    with pytest.raises(FileExistsError):
        keyring.create(path)
    assert keyring.load(path).current_fingerprint == keyring.fingerprint(FIRST)


def test_the_first_key_is_the_current_one_and_the_others_still_open(tmp_path: Path) -> None:
    loaded = keyring.load(write(tmp_path / "master", keyring.line(FIRST), keyring.line(SECOND)))
    assert loaded.current_fingerprint == keyring.fingerprint(FIRST)
    assert loaded.key(keyring.fingerprint(SECOND)) == SECOND


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(KeyMissing, match=f"{tmp_path}/master: the master key file is missing"):
        keyring.load(tmp_path / "master")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = write(tmp_path / "master", keyring.line(FIRST), mode=mode)
    with pytest.raises(KeyMismatch, match=f"master: mode {mode:04o} lets others read the master key, expected 0600"):
        keyring.load(path)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyMismatch, match="master: holds no key, expected lines backupd-master-key-1:"):
        keyring.load(write(tmp_path / "master"))


@pytest.mark.parametrize("content", [b"\xff\x00", keyring.line(FIRST).encode() + b"\n\xc3\xa4"])
def test_bytes_that_are_no_text_are_refused_and_not_repeated(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path / "master")
    path.write_bytes(content)
    with pytest.raises(
        KeyMismatch, match=r"/master: byte \d+ is not text, expected lines backupd-master-key-1:"
    ) as caught:
        keyring.load(path)
    assert caught.value.__cause__ is None


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(KeyMismatch, match=f"^{path}: expected a regular file with the master key$"):
            keyring.load(path)


def test_a_file_that_cannot_be_opened_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "master").symlink_to("master")
    with pytest.raises(
        KeyMismatch, match="/master: cannot be read: too many levels of symbolic links; expected a file"
    ):
        keyring.load(tmp_path / "master")


@pytest.mark.parametrize("line", ["nonsense", "backupd-master-key-2:00:00", keyring.line(FIRST)[:-1]])
def test_a_line_of_another_form_is_named_by_its_number(tmp_path: Path, line: str) -> None:
    with pytest.raises(KeyMismatch, match="master: line 2: expected backupd-master-key-1:"):
        keyring.load(write(tmp_path / "master", keyring.line(FIRST), line))


def test_each_mistyped_digit_is_noticed(tmp_path: Path) -> None:
    line = keyring.line(FIRST)
    for position in range(line.index(":") + 1, len(line)):
        if line[position] == ":":
            continue
        wrong = "0" if line[position] != "0" else "1"
        path = write(tmp_path / "master", line[:position] + wrong + line[position + 1 :])
        with pytest.raises(KeyMismatch, match="line 1: the key does not match its checksum"):
            keyring.load(path)


def test_a_missing_key_is_named_with_what_is_there_instead() -> None:
    here = keyring.fingerprint(FIRST)
    with pytest.raises(KeyMissing, match=f"master key 0123456789abcdef is missing: test holds {here}\nHINT: "):
        Keyring([FIRST], origin="test").key("0123456789abcdef")


def test_keys_show_neither_in_repr_nor_in_errors(tmp_path: Path) -> None:
    made = Keyring([FIRST], origin="test")
    path = write(tmp_path / "master", keyring.line(FIRST)[:-1] + "x")
    with pytest.raises(KeyMismatch) as caught:
        keyring.load(path)
    shown = repr(made) + str(made) + repr(caught.value)
    assert FIRST.hex() not in shown
    assert repr(FIRST) not in shown
