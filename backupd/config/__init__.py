"""The configuration file as one frozen tree; the only package that reads the environment."""

from __future__ import annotations

from backupd.config.kinds import Address
from backupd.config.load import default_path, load
from backupd.config.tree import (
    AuditConfig,
    AuthConfig,
    BackupTypeConfig,
    BlockStorageConfig,
    Config,
    DaemonConfig,
    PathsConfig,
    PolicyConfig,
    QuotasConfig,
    RetentionConfig,
    TargetConfig,
    TargetDefaults,
)

__all__ = [
    "Address",
    "AuditConfig",
    "AuthConfig",
    "BackupTypeConfig",
    "BlockStorageConfig",
    "Config",
    "DaemonConfig",
    "PathsConfig",
    "PolicyConfig",
    "QuotasConfig",
    "RetentionConfig",
    "TargetConfig",
    "TargetDefaults",
    "default_path",
    "load",
]
