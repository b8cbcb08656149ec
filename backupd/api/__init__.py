"""The HTTP API: thin skins over ``backupd.application``."""

from __future__ import annotations

from backupd.api.app import build_app
from backupd.api.auth import read_tokens
from backupd.api.identity import Identity, NoIdentity, Tokens
from backupd.api.keystone import keystone

__all__ = ["Identity", "NoIdentity", "Tokens", "build_app", "keystone", "read_tokens"]
