from __future__ import annotations

import re

from chunker import errors
from chunker.errors import ChunkerError, DestinationError, SourceError

ALL = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ChunkerError)]


def test_every_error_has_a_code_of_its_own() -> None:
    codes = [kind.code for kind in ALL]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z_]+(\.[a-z_]+)?", code) for code in codes)


def test_every_error_is_in_the_tree_of_the_docstring() -> None:
    assert errors.__doc__ is not None
    assert {kind.__name__ for kind in ALL} == set(re.findall(r"\b[A-Z][a-z]+[A-Z]\w+", errors.__doc__))


def test_codes_follow_the_tree() -> None:
    for kind in ALL:
        assert issubclass(kind, SourceError) == kind.code.startswith("source.")
        assert issubclass(kind, DestinationError) == kind.code.startswith("destination.")
