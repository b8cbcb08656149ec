"""backupd: the backup daemon. It joins ``chunker`` and ``targets``."""

__version__ = "0.1.0"
