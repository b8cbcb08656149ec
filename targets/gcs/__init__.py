"""A bucket of Google Cloud Storage as a target."""

from __future__ import annotations

from targets.gcs.options import GcsOptions
from targets.gcs.target import GcsTarget

__all__ = ["GcsOptions", "GcsTarget"]
