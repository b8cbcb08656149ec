"""``/v3``: the backup part of Cinder's API, and what its clients need around it."""

from __future__ import annotations

from backupd.api.v3.answering import answer_v3, is_v3
from backupd.api.v3.routing import add_routes

__all__ = ["add_routes", "answer_v3", "is_v3"]
