"""Storing objects: metadata and body in one request, so that the service stores all of it or nothing."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping

from targets.errors import Unavailable
from targets.gcs.api import JsonApi, read_json
from targets.gcs.checksums import Checksums
from targets.gcs.options import GcsOptions


class Uploads:
    """Stores objects below ``prefix``."""

    def __init__(self, api: JsonApi, prefix: str, options: GcsOptions, checksums: Checksums) -> None:
        self._api = api
        self._prefix = prefix
        self._checksums = checksums
        self._metadata = {"contentType": "application/octet-stream"}
        self._query = {"uploadType": "multipart", "fields": "crc32c"}
        if options.storage_class is not None:
            self._metadata["storageClass"] = options.storage_class
        if options.kms_key_name is not None:
            self._query["kmsKeyName"] = options.kms_key_name

    async def put(self, key: str, view: memoryview, *, if_absent: bool) -> None:
        """Store ``view``; the service compares the checksum before the object is there. ObjectExists."""
        doing = f"put {key}"
        crc32c = await self._checksums.of(view)
        boundary = secrets.token_hex(16)  # Nobody can know it beforehand and put it into a body.
        around = _around(boundary, {**self._metadata, "name": self._prefix + key, "crc32c": crc32c})
        path = self._api.upload_path(**self._query, **({"ifGenerationMatch": "0"} if if_absent else {}))
        headers = {"Content-Type": f"multipart/related; boundary={boundary}"}
        async with self._api.send("POST", path, headers=headers, body=view, around=around) as response:
            await self._api.ok(response, doing, if_absent=if_absent)
            stored = (await read_json(response, doing)).get("crc32c")
        if stored not in (None, crc32c):  # Of a server that does not compare it.
            raise Unavailable(f"{doing}: stored with crc32c {stored}, expected {crc32c}: it arrived garbled")


def _around(boundary: str, metadata: Mapping[str, str]) -> tuple[bytes, bytes]:
    """Return what stands before and after the body of an upload."""
    head = (
        f"--{boundary}\r\nContent-Type: application/json\r\n\r\n{json.dumps(metadata)}\r\n"
        f"--{boundary}\r\nContent-Type: application/octet-stream\r\n\r\n"
    )
    return head.encode(), f"\r\n--{boundary}--\r\n".encode()
