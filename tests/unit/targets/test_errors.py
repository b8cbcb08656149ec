from __future__ import annotations

import pickle

import pytest

from targets import errors
from targets.errors import Final, Retryable, TargetError

CLASSES: list[type[TargetError]] = [
    value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, TargetError)
]


@pytest.mark.parametrize("error", CLASSES)
def test_every_error_is_retryable_or_final(error: type[TargetError]) -> None:
    assert error is TargetError or issubclass(error, Retryable) is not issubclass(error, Final)


def test_every_code_is_its_own() -> None:
    assert len({error.code for error in CLASSES}) == len(CLASSES)


@pytest.mark.parametrize("error", CLASSES)
def test_tree_in_the_docstring_is_complete(error: type[TargetError]) -> None:
    assert error.__name__ in (errors.__doc__ or "").split()


@pytest.mark.parametrize("error", CLASSES)
def test_error_survives_pickling(error: type[TargetError]) -> None:
    copy = pickle.loads(pickle.dumps(error("packs/1: no space left")))
    assert (type(copy), str(copy)) == (error, "packs/1: no space left")
