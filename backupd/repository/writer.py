"""Who writes to a repository: one object for each catalog (docs/formats/condemned.md). Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from backupd.errors import CorruptObject
from chunker.errors import UnknownFormat

FORMAT = "backupd writer"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Writer:
    """The daemons of one catalog. ``name`` tells people which they are."""

    catalog_id: str
    name: str


def encode(writer: Writer) -> bytes:
    """Return the object's bytes."""
    fields = {"format": FORMAT, "version": VERSION, "catalog_id": writer.catalog_id, "name": writer.name}
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


def decode(catalog_id: str, body: bytes) -> Writer:
    """Open what ``encode`` made. CorruptObject when it is damaged, UnknownFormat when it is newer."""
    try:
        fields: Any = json.loads(body)
    except ValueError as error:
        raise CorruptObject(f"a writer is not JSON: {error}") from None
    if not isinstance(fields, dict) or fields.get("format") != FORMAT:
        raise CorruptObject(f"a writer: field format: expected {FORMAT!r}")
    if fields.get("version") != VERSION:
        raise UnknownFormat(f"writer version {fields.get('version')!r}; this reader knows {VERSION}")
    if fields.get("catalog_id") != catalog_id or not isinstance(fields.get("name"), str):
        raise CorruptObject(f"the writer is that of catalog {fields.get('catalog_id')!r}")
    return Writer(catalog_id, fields["name"])
