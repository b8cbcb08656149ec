"""Targets in the bucket of a service that wants tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from targets.base import Target
from targets.open import open_target
from tests.support.servers.gcs_service import GcsService


def with_key(service: GcsService, directory: Path, **options: Any) -> Target:
    """Open the bucket with a key file of its service account, below the prefix ``backups``."""
    key = service.tokens.write_key_file(directory / "key.json")
    return open_target("gs://bucket/backups", endpoint=service.endpoint, credentials_file=str(key), **options)
