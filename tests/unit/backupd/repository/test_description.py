from __future__ import annotations

import json
from typing import Any

import pytest

from backupd.errors import CorruptObject, KeyMismatch, KeyMissing
from backupd.repository import description, keyring
from backupd.repository.description import Description
from backupd.repository.keyring import Keyring
from chunker.errors import UnknownFormat
from chunker.keys import RepositoryKeys

MASTER_KEY = bytes(range(32))
KEYRING = Keyring([MASTER_KEY], origin="test")
DESCRIPTION = Description(RepositoryKeys.generate(), is_encrypted=True, created_at="2026-01-01T00:00:00+00:00")
BODY = description.write(DESCRIPTION, KEYRING)


def changed(**fields: Any) -> bytes:
    """Return the body with other fields, in its canonical form."""
    named = json.loads(BODY) | fields
    kept = {name: value for name, value in named.items() if value is not None}
    return json.dumps(kept, sort_keys=True, separators=(",", ":")).encode()


def test_what_was_written_is_read() -> None:
    assert description.read(BODY, KEYRING) == DESCRIPTION


def test_an_older_master_key_still_opens() -> None:
    assert description.read(BODY, Keyring([bytes(32), MASTER_KEY], origin="test")) == DESCRIPTION


def test_the_keys_are_not_in_the_body_nor_in_repr() -> None:
    for key in (DESCRIPTION.keys.id_key, DESCRIPTION.keys.data_key):
        assert key not in BODY
        assert key.hex().encode() not in BODY
        assert repr(key) not in repr(DESCRIPTION)


def test_the_same_keys_are_never_wrapped_the_same_way() -> None:
    assert description.write(DESCRIPTION, KEYRING) != BODY


def test_another_key_of_that_name_does_not_open() -> None:
    class Renamed(Keyring):
        def key(self, wanted: str) -> bytes:
            return bytes(32)

    with pytest.raises(KeyMismatch, match=f"master key {keyring.fingerprint(MASTER_KEY)}: it was altered, or"):
        description.read(BODY, Renamed([MASTER_KEY], origin="test"))


def test_a_missing_key_is_named() -> None:
    with pytest.raises(KeyMissing, match=f"master key {keyring.fingerprint(MASTER_KEY)} is missing"):
        description.read(BODY, Keyring([bytes(32)], origin="test"))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "repository.json is not JSON"),
        (b"\xff", "repository.json is not JSON"),
        (b"[]", "field format: expected 'backupd repository'"),
        (b"{}", "field format: expected 'backupd repository'"),
        (changed(format="tarball"), "field format: expected 'backupd repository'"),
        (changed(created_at=None), r"repository.json: fields \["),
        (changed(colour="red"), r"repository.json: fields \["),
        (BODY + b"\n", "not in its canonical form"),
        (changed(wrapped_keys="%"), "field wrapped_keys: "),
        (changed(wrapped_keys="AAAA"), "field wrapped_keys: 3 bytes, expected 104"),
        (changed(wrapped_keys=7), "field wrapped_keys: "),
        (changed(master_key=["x"]), r"field master_key: \['x'\], expected a string"),
    ],
)
def test_what_is_no_description_is_corrupt(body: bytes, message: str) -> None:
    with pytest.raises(CorruptObject, match=message):
        description.read(body, KEYRING)


@pytest.mark.parametrize(
    "fields", [{"is_encrypted": False}, {"created_at": "2027-01-01T00:00:00+00:00"}, {"repository_id": "00" * 16}]
)
def test_an_altered_field_is_noticed(fields: dict[str, Any]) -> None:
    with pytest.raises(KeyMismatch, match="it was altered"):
        description.read(changed(**fields), KEYRING)


def test_every_flipped_bit_is_noticed() -> None:
    for bit in range(len(BODY) * 8):
        flipped = bytearray(BODY)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises((CorruptObject, KeyMismatch, KeyMissing, UnknownFormat)):
            description.read(bytes(flipped), KEYRING)


def test_every_cut_is_noticed() -> None:
    for length in range(len(BODY)):
        with pytest.raises(CorruptObject):
            description.read(BODY[:length], KEYRING)
