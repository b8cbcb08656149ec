"""What the service keeps, and what it refuses: the objects of a bucket, as the JSON API describes them."""

from __future__ import annotations

import base64
import itertools
from dataclasses import dataclass, field
from typing import Any

import google_crc32c

JsonObject = dict[str, Any]


class Refused(Exception):
    """The service refuses; ``reason`` and the messages are those of the real one, as far as published."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message

    def json(self) -> JsonObject:
        error = {"domain": "global", "reason": self.reason, "message": self.message}
        return {"error": {"code": self.status, "message": self.message, "errors": [error]}}


@dataclass(frozen=True, slots=True)
class StoredObject:
    metadata: JsonObject
    content: bytes
    crc32c: str
    generation: int

    def json(self) -> JsonObject:
        told = {"size": str(len(self.content)), "crc32c": self.crc32c, "generation": str(self.generation)}
        return {"kind": "storage#object", **self.metadata, **told}


@dataclass(slots=True)
class Bucket:
    """``held`` and ``retained``: names of objects that may be neither deleted nor replaced."""

    name: str
    metadata: JsonObject = field(default_factory=dict)
    objects: dict[str, StoredObject] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    retained: set[str] = field(default_factory=set)
    generations: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def insert(self, metadata: JsonObject, content: bytes, *, if_generation_match: str | None) -> StoredObject:
        """Store an object whole, or refuse and change nothing."""
        name = metadata["name"]
        found = self.objects[name].generation if name in self.objects else 0
        if if_generation_match is not None and int(if_generation_match) != found:
            raise Refused(412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")
        crc32c = encoded_crc32c(content)
        if metadata.get("crc32c", crc32c) != crc32c:
            told = f'Provided CRC32C "{metadata["crc32c"]}" doesn\'t match calculated CRC32C "{crc32c}".'
            raise Refused(400, "invalid", told)
        self._check_kept(name)
        self.objects[name] = StoredObject(metadata, content, crc32c, next(self.generations))
        return self.objects[name]

    def get(self, name: str) -> StoredObject:
        if name not in self.objects:
            raise Refused(404, "notFound", f"No such object: {self.name}/{name}")
        return self.objects[name]

    def delete(self, name: str) -> None:
        self.get(name)
        self._check_kept(name)
        del self.objects[name]

    def page(self, prefix: str, after: str, count: int) -> tuple[list[StoredObject], str | None]:
        """Return objects in the order of their names, and the token of the next page."""
        names = sorted(name for name in self.objects if name.startswith(prefix) and name > after)
        token = base64.b64encode(names[count - 1].encode()).decode() if len(names) > count else None
        return [self.objects[name] for name in names[:count]], token

    def _check_kept(self, name: str) -> None:
        if name in self.objects and name in self.held:
            raise Refused(403, "objectUnderActiveHold", f"Object '{self.name}/{name}' is under active Temporary hold.")
        if name in self.objects and name in self.retained:
            told = f"Object '{self.name}/{name}' is subject to bucket's retention policy and cannot be deleted."
            raise Refused(403, "retentionPolicyNotMet", told)


def encoded_crc32c(content: bytes) -> str:
    return base64.b64encode(google_crc32c.value(content).to_bytes(4, "big")).decode()
