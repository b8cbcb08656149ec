from __future__ import annotations

import pytest

from targets.errors import Unsupported
from targets.keys import is_key
from targets.rados.parts import Piece, Split


def test_attribute_is_read_as_it_was_written() -> None:
    split = Split.new(1000, 64)
    assert Split.read("key", split.attribute()) == split


def test_two_writes_have_no_part_in_common() -> None:
    assert not {*Split.new(100, 10).names("key")} & {*Split.new(100, 10).names("key")}


def test_no_key_has_the_name_of_a_part() -> None:
    assert not any(is_key(name) for name in Split.new(100, 10).names("key"))


def test_pieces_cover_the_range_in_order() -> None:
    split = Split("id", 10, 35)
    assert [*split.pieces(0, 35)] == [Piece(0, 0, 10), Piece(1, 0, 10), Piece(2, 0, 10), Piece(3, 0, 5)]
    assert [*split.pieces(8, 13)] == [Piece(0, 8, 2), Piece(1, 0, 10), Piece(2, 0, 1)]
    assert [*split.pieces(20, 0)] == []


@pytest.mark.parametrize(
    "attribute", [b"", b"1", b"2 id 10 35", b"1 id ten 35", b"1 id 0 35", b"1 id 10 -1", b"1 id 10 35 0", b"\xff"]
)
def test_attribute_that_says_something_else_is_refused(attribute: bytes) -> None:
    with pytest.raises(Unsupported, match=r"key: its attribute backupd\.parts is"):
        Split.read("key", attribute)
