"""``repository.json``: what a repository says about itself, its keys wrapped (docs/formats/repository.md). Pure."""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidTag

from backupd.errors import CorruptObject, KeyMismatch, KeyMissing
from backupd.repository.keyring import Keyring
from chunker.errors import UnknownFormat
from chunker.keys import KEY_SIZE_BYTES, RepositoryKeys, derive
from chunker.xaes import NONCE_SIZE_BYTES, TAG_SIZE_BYTES, Xaes256Gcm

FORMAT = "backupd repository"
VERSION = 1
_FIELDS = {"format", "version", "repository_id", "created_at", "is_encrypted", "master_key", "wrapped_keys"}
_SECRET_SIZE_BYTES = 2 * KEY_SIZE_BYTES
_WRAPPED_SIZE_BYTES = NONCE_SIZE_BYTES + _SECRET_SIZE_BYTES + TAG_SIZE_BYTES


@dataclass(frozen=True, slots=True)
class Description:
    """An opened ``repository.json``."""

    keys: RepositoryKeys
    is_encrypted: bool
    created_at: str


def write(description: Description, keyring: Keyring, draw_nonce: Callable[[int], bytes] = os.urandom) -> bytes:
    """Return the object's bytes, the keys wrapped with the keyring's current master key."""
    fields: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "repository_id": description.keys.repository_id.hex(),
        "created_at": description.created_at,
        "is_encrypted": description.is_encrypted,
        "master_key": keyring.current_fingerprint,
    }
    nonce = draw_nonce(NONCE_SIZE_BYTES)
    sealed = bytearray(_SECRET_SIZE_BYTES + TAG_SIZE_BYTES)
    secret = memoryview(description.keys.id_key + description.keys.data_key)
    _wrapping(keyring.key(keyring.current_fingerprint)).encrypt_into(
        nonce, secret, _canonical(fields), memoryview(sealed)
    )
    fields["wrapped_keys"] = base64.b64encode(nonce + sealed).decode()
    return _canonical(fields)


def read(body: bytes, keyring: Keyring) -> Description:
    """Open what ``write`` made.

    UnknownFormat for a newer version; KeyMissing when the master key is not here; KeyMismatch when it is but
    does not open this; CorruptObject when the bytes are not a repository's description.
    """
    fields = _parsed(body)
    wrapped = _decoded(fields.pop("wrapped_keys"))
    try:
        master_key = keyring.key(fields["master_key"])
    except KeyMissing as error:
        raise KeyMissing(f"repository.json, unless that was altered: {error}") from None
    secret = bytearray(_SECRET_SIZE_BYTES)
    nonce, sealed = wrapped[:NONCE_SIZE_BYTES], memoryview(wrapped)[NONCE_SIZE_BYTES:]
    try:
        _wrapping(master_key).decrypt_into(nonce, sealed, _canonical(fields), memoryview(secret))
    except InvalidTag:
        raise KeyMismatch(
            f"repository.json was not sealed as it stands with master key {fields['master_key']}: "
            "it was altered, or the key is another one"
        ) from None
    keys = RepositoryKeys(
        repository_id=bytes.fromhex(fields["repository_id"]),
        id_key=bytes(secret[:KEY_SIZE_BYTES]),
        data_key=bytes(secret[KEY_SIZE_BYTES:]),
    )
    return Description(keys=keys, is_encrypted=fields["is_encrypted"], created_at=fields["created_at"])


def check_form(body: bytes) -> None:
    """Raise CorruptObject or UnknownFormat unless this has the form of what ``write`` makes. Needs no key."""
    _decoded(_parsed(body)["wrapped_keys"])


def master_key_of(body: bytes) -> str:
    """Return the fingerprint of the master key that opens this. CorruptObject, UnknownFormat."""
    return str(_parsed(body)["master_key"])


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(body)
    except ValueError as error:
        raise CorruptObject(f"repository.json is not JSON: {error}") from None
    if not isinstance(fields, dict) or fields.get("format") != FORMAT:
        raise CorruptObject(f"repository.json: field format: expected {FORMAT!r}")
    if fields.get("version") != VERSION:
        raise UnknownFormat(f"repository.json: version {fields.get('version')!r}; this reader knows {VERSION}")
    if fields.keys() != _FIELDS:
        raise CorruptObject(f"repository.json: fields {sorted(fields)}, expected {sorted(_FIELDS)}")
    if not isinstance(fields["master_key"], str):
        raise CorruptObject(f"repository.json: field master_key: {fields['master_key']!r}, expected a string")
    if re.fullmatch(r"[0-9a-f]{16}", fields["master_key"]) is None:
        raise CorruptObject(
            f"repository.json: field master_key: {fields['master_key']!r}, expected 16 hexadecimal digits"
        )
    if _canonical(fields) != body:
        raise CorruptObject("repository.json is not in its canonical form: it was altered")
    return fields


def _decoded(wrapped: object) -> bytes:
    try:
        decoded = base64.b64decode(str(wrapped), validate=True)
    except binascii.Error as error:
        raise CorruptObject(f"repository.json: field wrapped_keys: {error}") from None
    if len(decoded) != _WRAPPED_SIZE_BYTES:
        raise CorruptObject(
            f"repository.json: field wrapped_keys: {len(decoded)} bytes, expected {_WRAPPED_SIZE_BYTES}"
        )
    if base64.b64encode(decoded).decode() != wrapped:
        raise CorruptObject("repository.json: field wrapped_keys is not in its canonical form: it was altered")
    return decoded


def _wrapping(master_key: bytes) -> Xaes256Gcm:
    return Xaes256Gcm(derive(master_key, "backupd v1 key wrap"))


def _canonical(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
