"""The HTTP API: a thin skin over ``backupd.application``."""

from __future__ import annotations

from backupd.api.app import build_app
from backupd.api.auth import Tokens, read_tokens

__all__ = ["Tokens", "build_app", "read_tokens"]
