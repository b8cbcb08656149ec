from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from targets.errors import InvalidKey, Misconfigured, ObjectExists, ObjectNotFound, ShortRead
from targets.keys import KEY_LENGTH_MAX, is_key, validate_key
from targets.local import LocalOptions, LocalTarget
from targets.open import open_target, redact
from targets.testing import keys

T = TypeVar("T")
LEGAL = "abcxyz0189._-"
SEGMENTS = st.text(LEGAL, min_size=1, max_size=20).filter(lambda name: not name.startswith("."))
KEYS = st.lists(SEGMENTS, min_size=1, max_size=5).map("/".join)


@given(KEYS)
def test_what_is_made_of_legal_names_is_a_key(key: str) -> None:
    validate_key(key)


@given(st.text() | st.text("./ab\0A", max_size=20))
def test_what_is_a_key_stays_below_any_directory(key: str) -> None:
    try:
        validate_key(key)
    except InvalidKey:
        return
    assert key.isascii()
    assert len(key) <= KEY_LENGTH_MAX
    assert Path("/root", key).parts == ("/", "root", *key.split("/"))
    assert not {"", ".", ".."} & {*key.split("/")}


@given(KEYS, st.sampled_from(["/", "..", "\0", "\n", "%", "A", "\\"]), st.data())
def test_one_wrong_part_spoils_a_key(key: str, wrong: str, data: st.DataObject) -> None:
    parts = key.split("/")
    place = data.draw(st.integers(0, len(parts)))
    assert not is_key("/".join([*parts[:place], wrong, *parts[place:]]))


@given(st.text(max_size=60) | st.text("file:/@[]?#%u", max_size=30).map(lambda rest: f"memory:{rest}"))
def test_any_url_is_opened_or_refused_and_can_be_redacted(url: str) -> None:
    assert isinstance(redact(url), str)
    with suppress(Misconfigured):
        open_target(url)


# No name is a folder of another one.
NAMES = st.sampled_from(["a", "b", "c/a", "c/b", "c/d/a", "cc", "d/e/f/g"])
BODIES = st.binary(max_size=50)
PREFIXES = st.sampled_from(["", "a", "c", "c/", "c/d", "c/d/", "d/e/", "x/"])


class LocalTargetMachine(RuleBasedStateMachine):
    """A local target beside a dict: whatever is done to both, they hold the same."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.root = Path(tempfile.mkdtemp(prefix="targets-"))
        self.target = LocalTarget(self.root, LocalOptions(fsync=False, threads=1))
        self.model: dict[str, bytes] = {}

    def run(self, operation: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(operation)

    @rule(key=NAMES, body=BODIES)
    def put(self, key: str, body: bytes) -> None:
        self.run(self.target.put(key, body))
        self.model[key] = body

    @rule(key=NAMES, body=BODIES)
    def put_if_absent(self, key: str, body: bytes) -> None:
        if key in self.model:
            with pytest.raises(ObjectExists):
                self.run(self.target.put(key, body, if_absent=True))
        else:
            self.run(self.target.put(key, body, if_absent=True))
            self.model[key] = body

    @rule(key=NAMES)
    def delete(self, key: str) -> None:
        self.run(self.target.delete(key))
        self.model.pop(key, None)

    @rule(key=NAMES, offset=st.integers(0, 60), length=st.none() | st.integers(0, 60))
    def get(self, key: str, offset: int, length: int | None) -> None:
        operation = self.target.get(key, offset=offset, length=length)
        if key not in self.model:
            with pytest.raises(ObjectNotFound):
                self.run(operation)
        elif offset + (length or 0) > len(self.model[key]):
            with pytest.raises(ShortRead):
                self.run(operation)
        else:
            end = None if length is None else offset + length
            assert self.run(operation) == self.model[key][offset:end]

    @rule(prefix=PREFIXES)
    def list(self, prefix: str) -> None:
        expected = sorted(key for key in self.model if key.startswith(prefix))
        assert self.run(keys(self.target, prefix)) == expected

    @rule()
    def open_again(self) -> None:
        self.run(self.target.aclose())
        self.target = LocalTarget(self.root, LocalOptions(fsync=False, threads=1))

    @invariant()
    def directory_holds_the_objects_and_nothing_else(self) -> None:
        files = {path.relative_to(self.root).as_posix(): path for path in self.root.rglob("*") if path.is_file()}
        assert {name: path.read_bytes() for name, path in files.items()} == self.model

    def teardown(self) -> None:
        self.run(self.target.aclose())
        self.runner.close()
        shutil.rmtree(self.root)


LocalTargetMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
TestLocalTarget = LocalTargetMachine.TestCase
