"""backupd: the backup daemon. It joins ``chunker`` and ``targets``."""

from __future__ import annotations

__version__ = "0.1.0"
