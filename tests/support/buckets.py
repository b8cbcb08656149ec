"""Buckets of their own for tests, made and looked into by the SDK: a second opinion on what the driver does."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import botocore.config  # type: ignore[import-untyped] # it has no types
import botocore.session  # type: ignore[import-untyped] # it has no types

from targets.s3 import Place, S3Options, S3Target
from targets.s3.clock import RequestClock

MIB = 1024 * 1024
PARTS = {"multipart_above_bytes": 5 * MIB, "part_bytes": 5 * MIB}  # The smallest that stores take.
LARGE = bytes(range(256)) * (12 * MIB // 256)  # Three of them.

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A bucket at ``url``. ``client`` is the SDK's, which blocks and may do everything there."""

    url: str
    name: str
    client: Any
    credentials_file: Path

    def target(
        self, *, name: str | None = None, prefix: str = "/", clock: RequestClock | None = None, **options: Any
    ) -> S3Target:
        """Return a target there; ``options`` add to what is needed to reach it."""
        reached: dict[str, Any] = {"endpoint": self.url, "credentials_file": str(self.credentials_file)}
        return S3Target(Place.of(name or self.name, prefix), S3Options(**(reached | options)), clock=clock)

    @asynccontextmanager
    async def opened(self, **options: Any) -> AsyncIterator[S3Target]:
        """Return ``target`` for as long as the context lasts."""
        target = self.target(**options)
        try:
            yield target
        finally:
            await target.aclose()

    def unfinished_uploads(self) -> list[str]:
        """Return the keys of the uploads in parts that were neither completed nor aborted."""
        listed = self.client.list_multipart_uploads(Bucket=self.name)
        return [upload["Key"] for upload in listed.get("Uploads", [])]

    def keys(self) -> list[str]:
        """Return the names of the first 1000 objects."""
        return [found["Key"] for found in self.client.list_objects_v2(Bucket=self.name).get("Contents", [])]


def make_bucket(url: str, keys: tuple[str, str], directory: Path, *, locks: bool = False) -> Bucket:
    """Make a bucket that no other test of this process uses; ``locks`` lets it hold objects that are locked."""
    client = _client(url, keys)
    name = f"bucket-{next(_numbers)}"
    client.create_bucket(Bucket=name, **({"ObjectLockEnabledForBucket": True} if locks else {}))
    return Bucket(url=url, name=name, client=client, credentials_file=write_keys(directory, keys))


@cache  # To make one takes far longer than most tests.
def _client(url: str, keys: tuple[str, str]) -> Any:
    session = botocore.session.Session()
    session.set_credentials(*keys)
    config = botocore.config.Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 2})
    return session.create_client("s3", region_name="us-east-1", endpoint_url=url, config=config)


def write_keys(directory: Path, keys: tuple[str, str], token: str | None = None) -> Path:
    """Write a file of credentials such as the SDKs read, and return its path."""
    file = directory / "credentials"
    lines = ["[default]", f"aws_access_key_id = {keys[0]}", f"aws_secret_access_key = {keys[1]}"]
    file.write_text("\n".join([*lines, *([f"aws_session_token = {token}"] if token else []), ""]))
    return file
