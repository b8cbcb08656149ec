"""The configuration file as one frozen tree; the only package that reads the environment."""

from __future__ import annotations

from backupd.config.kinds import Address
from backupd.config.load import default_path, load
from backupd.config.tree import Config, DaemonConfig, PathsConfig, TargetConfig, TargetDefaults

__all__ = [
    "Address",
    "Config",
    "DaemonConfig",
    "PathsConfig",
    "TargetConfig",
    "TargetDefaults",
    "default_path",
    "load",
]
