"""The state directory: catalog, keys and indexes of one daemon, locked while it runs."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backupd.errors import ConfigError, KeyMissing
from backupd.repository import keyring
from backupd.repository.keyring import Keyring


class StateDir:
    """Where things are in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.catalog = path / "catalog.db"
        self.master_key = path / "master.key"
        self.indexes = path / "indexes"

    def open_keyring(self) -> Keyring:
        """Load the master key; make one only for a daemon that has no catalog yet. KeyMissing otherwise."""
        try:
            return keyring.load(self.master_key)
        except KeyMissing:
            if self.catalog.exists():
                raise
            return keyring.create(self.master_key)


@contextmanager
def locked(path: Path) -> Iterator[StateDir]:
    """Make the directory if need be and hold it alone; ConfigError when another daemon has it."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _unusable(path, error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"daemon.state_dir = '{path}': another backupd is using it") from None
        yield StateDir(path)
    finally:
        os.close(descriptor)


def _unusable(path: Path, error: OSError) -> ConfigError:
    reason = (error.strerror or type(error).__name__).lower()
    return ConfigError(f"daemon.state_dir = '{path}': cannot be used: {reason}")
