"""P7: a master key on paper is taken in as it was, or the line that is wrong is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backupd.errors import KeyMismatch
from backupd.repository import key_text
from backupd.repository.keyring import fingerprint

KEY = bytes(range(0x60, 0x80))
OTHER = bytes(range(32))
TEXT = key_text.write(KEY)


@given(st.binary(min_size=32, max_size=32))
def test_what_was_written_reads(key: bytes) -> None:
    assert key_text.read(key_text.write(key)) == [key]


def test_several_keys_stand_below_each_other() -> None:
    assert key_text.read(key_text.write(KEY) + "\n" + key_text.write(OTHER)) == [KEY, OTHER]


def test_how_people_type_does_not_matter() -> None:
    typed = TEXT.lower().replace(" ", "  ").replace("0", "o").replace("1", "l")
    lines = typed.splitlines()
    heading = TEXT.splitlines()[0]
    body = [f"{number}. {line.partition(':')[2]}" for number, line in enumerate(lines[1:], start=1)]
    assert key_text.read("\r\n\r\n".join([heading, *body])) == [KEY]


def test_the_text_says_which_key_it_is_and_is_short_enough_to_type() -> None:
    heading, *lines = TEXT.splitlines()
    assert heading == f"backupd master key {fingerprint(KEY)}"
    assert [len(line) for line in lines] == [27] * 4


@pytest.mark.parametrize("line", range(1, 5))
@pytest.mark.parametrize("place", range(3, 27))
def test_p7_closed_a_mistyped_character_names_its_line(line: int, place: int) -> None:
    lines = TEXT.splitlines()
    if lines[line][place] == " ":
        return
    wrong = "Z" if lines[line][place] != "Z" else "Y"
    lines[line] = lines[line][:place] + wrong + lines[line][place + 1 :]
    with pytest.raises(
        KeyMismatch, match=rf"^line {line + 1} \(line {line} of key {fingerprint(KEY)}\): does not match"
    ):
        key_text.read("\n".join(lines))


@pytest.mark.parametrize("line", range(1, 5))
def test_p7_closed_a_character_too_few_names_its_line(line: int) -> None:
    lines = TEXT.splitlines()
    lines[line] = lines[line][:-1]
    with pytest.raises(KeyMismatch, match=rf"^line {line + 1} .*: 19 letters and digits, expected 20"):
        key_text.read("\n".join(lines))


def test_p7_closed_lines_of_two_keys_make_no_key() -> None:
    mixed = TEXT.splitlines()[:3] + key_text.write(OTHER).splitlines()[3:]
    with pytest.raises(KeyMismatch, match="they are not of one key"):
        key_text.read("\n".join(mixed))


def test_p7_closed_lines_in_another_order_are_told() -> None:
    lines = TEXT.splitlines()
    with pytest.raises(KeyMismatch, match="line 2: expected line 1 of key"):
        key_text.read("\n".join([lines[0], lines[2], lines[1], *lines[3:]]))


def test_p7_closed_another_heading_is_told() -> None:
    text = TEXT.replace(fingerprint(KEY), fingerprint(OTHER))
    with pytest.raises(KeyMismatch, match=f"the key below it is {fingerprint(KEY)}, not {fingerprint(OTHER)}"):
        key_text.read(text)


@pytest.mark.parametrize("count", range(1, 5))
def test_p7_closed_a_text_that_ends_early_is_told(count: int) -> None:
    with pytest.raises(KeyMismatch, match=f"ends after {count - 1} of 4 lines"):
        key_text.read("\n".join(TEXT.splitlines()[:count]))


@pytest.mark.parametrize("text", ["", "\n \n", "hello", "1: ABCD"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(KeyMismatch):
        key_text.read(text)


def test_no_message_holds_the_key() -> None:
    lines = TEXT.splitlines()
    lines[2] = lines[2][:-1] + "U"
    with pytest.raises(KeyMismatch) as caught:
        key_text.read("\n".join(lines))
    assert all(group not in str(caught.value) for group in lines[2].split()[1:])
