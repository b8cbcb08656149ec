"""``backupctl``: the command line, an HTTP client of the daemon and nothing else."""

from __future__ import annotations
