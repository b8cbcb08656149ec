from __future__ import annotations

import json
from typing import Any

import pytest

from backupd.api.body import parse_request
from backupd.api.json_text import parse_json
from backupd.application.backup_types import NewBackupType
from backupd.application.backups import NewBackup
from backupd.application.restores import NewRestore
from backupd.application.verifications import NewVerification
from backupd.application.volumes import NewVolume
from backupd.errors import InvalidRequest
from backupd.model import BackupMode


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "the body is not JSON: expecting value at line 1, column 1"),
        (b'{\n  "a": }', "the body is not JSON: expecting value at line 2, column 8"),
        (b'{"a": 1} x', "the body is not JSON: extra data at line 1, column 10"),
        (b"\xff", "the body is not UTF-8 text at byte 0"),
        (b'{"a": NaN}', "the body holds NaN, which is not a JSON number"),
        (b'{"a": {"b": 1, "b": 2}}', "b: the field is there twice"),
        (b"[" * 100_000, "the body is nested too deeply"),
        (b"9" * 5000, "the body holds a number with too many digits"),
    ],
)
def test_a_bad_text_is_refused_with_its_place(text: bytes, message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_json(text)
    assert str(caught.value) == message


def test_a_good_text_is_parsed() -> None:
    assert parse_json('{"ä": [1, 2.5, null, true]}'.encode()) == {"ä": [1, 2.5, None, True]}


@pytest.mark.parametrize(
    ("expected", "body", "message"),
    [
        (NewVerification, [], "the body is not a JSON object"),
        (NewVerification, {}, "backup: missing; expected a string"),
        (NewVerification, {"backup": None}, "backup: missing; expected a string"),
        (NewVerification, {"backup": 1}, "backup = 1: expected a string"),
        (NewVerification, {"backups": "x"}, 'backups: unknown field; did you mean "backup"?'),
        (NewVerification, {"zzz": 1}, "zzz: unknown field; expected backup, target"),
        (NewRestore, {"backup": "x", "path": "/a", "overwrite": 1}, "overwrite = 1: expected true or false"),
        (
            NewRestore,
            {"backup": "x", "path": "", "overwrite": None},
            "overwrite = null: expected true or false",
        ),
        (NewBackup, {"volume": "x", "mode": "ful"}, 'mode = "ful": expected "full" or "incremental"'),
        (NewBackup, {"volume": "x", "mode": ["full"]}, 'mode = a list of 1: expected "full" or "incremental"'),
        (NewBackup, {"volume": "x", "changed_extents": {}}, "changed_extents = an object: expected a list"),
        (NewVolume, {"path": "/x"}, "name: missing; expected a string"),
        (
            NewBackupType,
            {"name": "x", "target": "x", "chunk_size_bytes": True},
            "chunk_size_bytes = true: expected an integer",
        ),
        (
            NewBackupType,
            {"name": "x", "target": "x", "chunk_size_bytes": 65536.0},
            "chunk_size_bytes = 65536.0: expected an integer",
        ),
    ],
)
def test_a_bad_body_is_refused_by_field(expected: type[Any], body: object, message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_request(body, expected)
    assert str(caught.value) == message


def test_a_body_becomes_the_request_of_the_application() -> None:
    body = {"volume": "disk", "mode": "full", "name": None, "changed_extents": [1]}
    expected = NewBackup(volume="disk", mode=BackupMode.FULL, changed_extents=[1])
    assert parse_request(body, NewBackup) == expected


def test_a_long_value_is_shown_in_part() -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_request({"volume": "x", "mode": "x" * 1000}, NewBackup)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("expected", "body", "problem"),
    [
        (NewBackup, {"volume": "a\ud800"}, 'volume = "a\\ud800"'),
        (NewBackup, {"volume": "x", "name": "\udfff"}, 'name = "\\udfff"'),
        (NewBackupType, {"name": "x", "target": "y", "copies": ["z", "\ud800"]}, 'copies = "\\ud800"'),
    ],
)
def test_half_of_a_surrogate_pair_is_refused_by_the_name_of_its_field(
    expected: type[Any], body: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_request(parse_json(json.dumps(body).encode()), expected)
    assert str(caught.value) == f"{problem}: expected whole characters, not a half of a surrogate pair"
