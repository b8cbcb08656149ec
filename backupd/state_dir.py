"""The state directory: catalog, keys and indexes of one daemon, locked while it runs."""

from __future__ import annotations

import fcntl
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backupd.errors import ConfigError, KeyMissing
from backupd.repository import keyring
from backupd.repository.keyring import Keyring

_FILE_MODE = 0o600
_log = logging.getLogger(__name__)


class StateDir:
    """Where things are in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.catalog = path / "catalog.db"
        self.master_key = path / "master.key"
        self.indexes = path / "indexes"
        self.collections = path / "collections"

    def open_keyring(self) -> Keyring:
        """Load the master key; make one only for a daemon that has no catalog yet. KeyMissing otherwise."""
        try:
            return keyring.load(self.master_key)
        except KeyMissing:
            if self.catalog.exists():
                raise
            return self._create_keyring()

    def catalog_url(self) -> str:
        """Return where the catalog is, in a file that only its owner reads; what SQLite adds has the same mode."""
        try:
            os.close(os.open(self.catalog, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE))
            if self.catalog.stat().st_mode & 0o077:  # An older version has made it.
                self.catalog.chmod(_FILE_MODE)
        except OSError as error:
            raise _unusable(self.path, error) from error
        return f"sqlite:///{self.catalog}"

    def _create_keyring(self) -> Keyring:
        try:
            return keyring.create(self.master_key)
        except OSError as error:
            raise _unusable(self.path, error) from error


@contextmanager
def locked(path: Path) -> Iterator[StateDir]:
    """Make the directory if need be and hold it alone. ConfigError: another has it, or others can write to it."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        _check_mode(path)
        descriptor = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
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


def _check_mode(path: Path) -> None:
    # Who can write to it can put another key or catalog there. Who can only list it learns names: each file
    # is its owner's, so such a directory, made by an installer or a container, is no reason not to start.
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o022:
        raise ConfigError(
            f"daemon.state_dir = '{path}': has mode {mode:04o}; expected a directory that only its owner can write to\n"
            f"HINT: chmod 0700 {path}, or name one below it, which is then made"
        )
    if mode & 0o077:
        _log.warning("daemon.state_dir = '%s': others can look into it\nHINT: chmod 0700 %s", path, path)


def _unusable(path: Path, error: OSError) -> ConfigError:
    reason = (error.strerror or type(error).__name__).lower()
    return ConfigError(f"daemon.state_dir = '{path}': cannot be used: {reason}")
