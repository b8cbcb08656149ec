from __future__ import annotations

from typing import Any

import pytest

from chunker.errors import SourceBusy, SourceChanged, SourceError, SourceMissing, SourceUnreadable
from chunker.extents import Extent
from chunker.sources.external.answers import Answer

OPENED = {"path": "/dev/vg/a", "identity": "a", "token": "1"}


def test_what_was_opened_is_told() -> None:
    opened = Answer("own", {**OPENED, "tells_data": True}).opened()
    assert (opened.path, opened.identity, opened.token, opened.tells_data) == ("/dev/vg/a", "a", "1", True)
    assert Answer("own", {"path": "/a", "identity": "a"}).opened().token is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"path": "dev"}, "answered path: 'dev', expected an absolute path"),
        ({"path": None}, "answered path: None, expected a text of 1 to 4096 characters"),
        ({"path": "/a\0b"}, "answered path: '/a.*b', expected an absolute path"),
        ({"identity": ""}, "answered identity: '', expected a text of 1 to 4096 characters"),
        ({"token": 7}, "answered token: 7, expected a text"),
        ({"token": "x" * 5000}, r"answered token: 'x{99}\.\.\., expected a text"),
        ({"tells_data": "yes"}, "answered tells_data: 'yes', expected true or false"),
    ],
)
def test_a_field_that_is_wrong_is_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(SourceUnreadable, match=f"command own {message}"):
        Answer("own", OPENED | fields).opened()


def test_extents_are_merged() -> None:
    answer = Answer("own", {"extents": [[4, 4], [0, 2], [2, 2], [9, 0]]})
    assert answer.reason() is None
    assert answer.extents(size_bytes=10) == (Extent(0, 8),)


@pytest.mark.parametrize(
    ("extents", "message"),
    [
        ({}, r"extents: \{\}, expected a list of \[offset, length\]"),
        ([[0, 1], 7], r"extents\[1\]: 7, expected \[offset, length\], both integers"),
        ([[0]], r"extents\[0\]: \[0\], expected"),
        ([[0, True]], r"extents\[0\]: \[0, True\], expected"),
        ([[0, 1.0]], r"extents\[0\]: \[0, 1.0\], expected"),
        ([[-1, 1]], r"extents\[0\]: \[-1, 1\], expected a range of the volume's 10 bytes"),
        ([[0, -1]], r"extents\[0\]: \[0, -1\], expected a range of the volume's 10 bytes"),
        ([[9, 2]], r"extents\[0\]: \[9, 2\], expected a range of the volume's 10 bytes"),
    ],
)
def test_an_extent_that_is_wrong_is_named(extents: Any, message: str) -> None:
    with pytest.raises(SourceUnreadable, match=message):
        Answer("own", {"extents": extents}).extents(size_bytes=10)


def test_what_is_not_known_needs_a_reason() -> None:
    assert Answer("own", {"extents": None, "reason": "metadata was rebuilt"}).reason() == "metadata was rebuilt"
    with pytest.raises(SourceUnreadable, match="answered reason: None, expected a text"):
        Answer("own", {}).reason()


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("missing", SourceMissing),
        ("busy", SourceBusy),
        ("changed", SourceChanged),
        ("unreadable", SourceUnreadable),
    ],
)
def test_an_error_is_raised_as_what_it_says_it_is(kind: str, expected: type[SourceError]) -> None:
    with pytest.raises(SourceError, match="own: the pool is gone") as caught:
        Answer("own", {"error": {"kind": kind, "message": "the pool is gone"}})
    assert type(caught.value) is expected


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("gone", "answered error: 'gone', expected an object whose kind is one of missing, busy, changed, unreadable"),
        ({"kind": "odd", "message": "x"}, "answered error: {'kind': 'odd'"),
        ({"kind": "busy"}, "answered error.message: None, expected a text"),
    ],
)
def test_an_error_of_no_known_kind_is_unreadable(error: Any, message: str) -> None:
    with pytest.raises(SourceUnreadable, match=message):
        Answer("own", {"error": error})
