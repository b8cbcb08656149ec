"""A connection to one pool of a cluster, and all that blocks."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from targets.errors import Misconfigured, PermissionDenied, TimedOut, Unavailable
from targets.rados.failures import connection_failure, failure
from targets.rados.listing import Listed, Listing
from targets.rados.options import Namespace, RadosOptions
from targets.rados.parts import ATTRIBUTE, Split

LOOKS_MAX = 8
_TRIES_MAX = 100
_MIB = 1024 * 1024
_BESIDE_A_BODY_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Libraries:
    """``binding``: the module rados; ``library``: what it is built on, for listings."""

    binding: Any
    library: ctypes.CDLL


@dataclass(frozen=True, slots=True)
class Found:
    """One object at one moment."""

    version: int
    split: Split | None


class Session:
    """An open pool. Making one connects; Misconfigured, PermissionDenied, TimedOut or Unavailable."""

    def __init__(self, libraries: Libraries, namespace: Namespace, options: RadosOptions) -> None:
        self.binding = libraries.binding
        self._library = libraries.library
        self._namespace = namespace
        self._options = options
        self._listings: set[Listing] = set()
        # Without the name of the cluster keyrings are not looked for where Ceph keeps them.
        self._cluster = self.binding.Rados(rados_id=options.user, clustername="ceph")
        try:
            self._configure()
            self.part_bytes = min([options.part_bytes, *self._size_limits()])
            self._connect()
            self.pool = self._open_pool()
            self._pool_id: int = self.pool.get_pool_id()
            self._lookers = [self.pool.dup() for _ in range(LOOKS_MAX)]
        except BaseException:
            self._cluster.shutdown()
            raise

    def close(self) -> None:
        """Disconnect. Nothing may be under way, and nothing can be asked afterwards."""
        for listing in [*self._listings]:
            listing.close()
        for pool in (self.pool, *self._lookers):
            pool.close()
        self._cluster.shutdown()

    def check_pool(self) -> None:
        """Raise TargetGone if the pool was removed: its objects are as absent then as one that never was."""
        try:
            name = self._cluster.pool_reverse_lookup(self._pool_id)
        except self.binding.OSError as error:
            raise failure(-error.errno, f"pool {self._namespace.pool}") from error
        if name is None:
            raise self._namespace.gone()

    def look(self, doing: str, name: str) -> Found | None:
        """Return what an object is, None if it is absent. At most LOOKS_MAX threads look or measure at a time."""
        with self._looker(doing) as looker:
            try:
                return _found(looker, name)
            except self.binding.ObjectNotFound:
                return None

    def measure(self, doing: str, name: str) -> int | Split | None:
        """Return the size of an object, or how it is split; None if it is absent.

        Attributes and size are two requests here; they are of one moment when they are of the same version.
        """
        with self._looker(doing) as looker:
            try:
                for _ in range(_TRIES_MAX):
                    found = _found(looker, name)
                    if found.split is not None:
                        return found.split
                    size_bytes: int = looker.stat(name)[0]
                    if looker.get_last_version() == found.version:
                        return size_bytes
            except self.binding.ObjectNotFound:
                return None
        raise Unavailable(f"{doing}: others write the same object all the time")

    def listing(self, prefix: str) -> Listing:
        """Return a listing of the names in the namespace that start with ``prefix``."""
        listed = Listed(self._library, self._namespace, self._pool_id, self._options)
        listing = Listing(listed, prefix, on_close=self._listings.discard)
        self._listings.add(listing)
        return listing

    @contextmanager
    def _looker(self, doing: str) -> Iterator[Any]:
        """Return a pool that nobody else uses meanwhile: the last version is kept with it, and must be ours."""
        looker = self._lookers.pop()
        try:
            yield looker
        except self.binding.OSError as error:
            raise failure(-error.errno, doing) from error
        finally:
            self._lookers.append(looker)

    def _configure(self) -> None:
        options = self._options
        _check_readable("conf", options.conf)
        try:
            self._cluster.conf_read_file(options.conf)
        except self.binding.Error as error:
            raise Misconfigured(f"option conf: {options.conf}: it cannot be parsed") from error
        if options.keyring is not None:
            _check_readable("keyring", options.keyring)
        for name, value in options.settings():
            try:
                self._cluster.conf_set(name, value)
            except self.binding.Error as error:
                raise Misconfigured(f"librados does not take {value!r} for {name}") from error

    def _connect(self) -> None:
        options = self._options
        try:
            self._cluster.connect()
        except self.binding.OSError as caught:
            error = connection_failure(-caught.errno, f"connecting as client.{options.user} with {options.conf}")
            if isinstance(error, TimedOut):
                raise TimedOut(f"{error}: no monitor within {options.connect_timeout_s} s") from caught
            if isinstance(error, Misconfigured | PermissionDenied):
                hint = f"that file must name the monitors, and a keyring must hold the key of client.{options.user}"
                raise type(error)(f"{error}\nHINT: {hint}") from caught
            raise error from caught

    def _open_pool(self) -> Any:
        try:
            pool = self._cluster.open_ioctx(self._namespace.pool)
        except self.binding.ObjectNotFound as error:
            raise Misconfigured(f"pool {self._namespace.pool} does not exist\nHINT: ceph osd pool create") from error
        except self.binding.OSError as error:
            raise connection_failure(-error.errno, f"pool {self._namespace.pool}") from error
        pool.set_namespace(self._namespace.name)
        # Fail when the cluster is full, instead of waiting until it is not; and let deletions pass.
        pool.set_osdmap_full_try()
        return pool

    def _size_limits(self) -> Iterator[int]:
        """Yield what we know of the cluster's limits for a body. A request has names and values in it, too."""
        for name, unit in (("osd_max_write_size", _MIB), ("osd_max_object_size", 1)):
            value = self._cluster.conf_get(name)
            if value is not None:
                yield int(value) * unit - _BESIDE_A_BODY_BYTES


def _found(looker: Any, name: str) -> Found:
    attribute = dict(looker.get_xattrs(name)).get(ATTRIBUTE)
    return Found(looker.get_last_version(), None if attribute is None else Split.read(name, attribute))


def _check_readable(option: str, path: str) -> None:
    try:
        with Path(path).open("rb"):
            return
    except OSError as error:
        raise Misconfigured(f"option {option}: {path}: {(error.strerror or '').lower()}") from error
