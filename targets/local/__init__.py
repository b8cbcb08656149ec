"""A directory as a target."""

from __future__ import annotations

from targets.local.target import LocalOptions, LocalTarget

__all__ = ["LocalOptions", "LocalTarget"]
