from __future__ import annotations

import pytest

from targets.errors import InvalidKey
from targets.keys import KEY_LENGTH_MAX, validate_key, validate_prefix


@pytest.mark.parametrize("key", ["a", "repository.json", "packs/0a/0a_1-2.x", "a../b..c", "a" * 255])
def test_legal_key_is_taken(key: str) -> None:
    validate_key(key)


def test_key_of_the_longest_length_is_taken() -> None:
    key = "a/" * (KEY_LENGTH_MAX // 2 - 1) + "bc"
    assert len(key) == KEY_LENGTH_MAX
    validate_key(key)


def test_key_one_longer_is_refused() -> None:
    with pytest.raises(InvalidKey, match="of 513 characters"):
        validate_key("a/" * (KEY_LENGTH_MAX // 2) + "b")


def test_refusal_names_the_key_and_what_was_expected() -> None:
    with pytest.raises(InvalidKey, match=r"key '\.\./a\\n': expected up to 512 characters"):
        validate_key("../a\n")


@pytest.mark.parametrize("prefix", ["", "a", "a/", "a/b", "packs/0a/"])
def test_legal_prefix_is_taken(prefix: str) -> None:
    validate_prefix(prefix)


@pytest.mark.parametrize("prefix", ["/", "a//", "../", ".", "a/../"])
def test_illegal_prefix_is_refused(prefix: str) -> None:
    with pytest.raises(InvalidKey, match="prefix"):
        validate_prefix(prefix)
