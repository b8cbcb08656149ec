"""An S3 bucket as a target."""

from __future__ import annotations

from targets.s3.options import S3Options
from targets.s3.place import Place
from targets.s3.target import S3Target

__all__ = ["Place", "S3Options", "S3Target"]
