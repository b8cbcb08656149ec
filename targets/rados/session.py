"""A connection to one pool of a cluster, and all that blocks."""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from targets.errors import Misconfigured, PermissionDenied, TargetGone, TimedOut
from targets.rados.failures import connection_failure, failure
from targets.rados.options import RadosOptions

_POOL_NAME_BYTES_MAX = 4096
_MIB = 1024 * 1024
_BESIDE_A_BODY_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Namespace:
    """Which objects: those of a namespace in a pool. The namespace "" is the pool's own."""

    pool: str
    name: str


class Session:
    """An open pool. Making one connects; Misconfigured, PermissionDenied, TimedOut or Unavailable."""

    def __init__(self, library: ctypes.CDLL, namespace: Namespace, options: RadosOptions) -> None:
        self._library = library
        self._namespace = namespace
        self._listings: set[Listing] = set()
        self._cluster = ctypes.c_void_p()
        self.pool = ctypes.c_void_p()
        self._check(library.rados_create(ctypes.byref(self._cluster), options.user.encode()), "rados")
        try:
            self._configure(options)
            self.part_bytes = min([options.part_bytes, *self._size_limits()])
            self._connect(options)
            self._open_pool()
        except BaseException:
            library.rados_shutdown(self._cluster)
            raise

    def close(self) -> None:
        """Disconnect. Nothing may be under way, and nothing can be asked afterwards."""
        for listing in [*self._listings]:
            listing.close()
        self._library.rados_ioctx_destroy(self.pool)
        self._library.rados_shutdown(self._cluster)

    def check_pool(self) -> None:
        """Raise TargetGone if the pool was removed: its objects are as absent then as one that never was."""
        name = ctypes.create_string_buffer(_POOL_NAME_BYTES_MAX)
        pool_id = self._library.rados_ioctx_get_id(self.pool)
        result = self._library.rados_pool_reverse_lookup(self._cluster, pool_id, name, len(name))
        if result == -errno.ENOENT:
            raise TargetGone(f"pool {self._namespace.pool} was removed\nHINT: one made anew is used after a restart")
        if result < 0:
            raise failure(result, f"pool {self._namespace.pool}")

    def listing(self, prefix: str) -> Listing:
        """Return a listing of the names in the namespace that start with ``prefix``."""
        listing = Listing(self._library, self, prefix)
        self._listings.add(listing)
        return listing

    def forget(self, listing: Listing) -> None:
        """Take notice that a listing has been closed."""
        self._listings.discard(listing)

    def _configure(self, options: RadosOptions) -> None:
        self._check_readable("conf", options.conf)
        if self._library.rados_conf_read_file(self._cluster, options.conf.encode()) < 0:
            raise Misconfigured(f"option conf: {options.conf}: it cannot be parsed")
        if options.keyring is not None:
            self._check_readable("keyring", options.keyring)
            self._set("keyring", options.keyring)
        self._set("rados_osd_op_timeout", str(options.operation_timeout_s))
        self._set("rados_mon_op_timeout", str(options.connect_timeout_s))
        self._set("client_mount_timeout", str(options.connect_timeout_s))
        # A full throttle blocks the thread that submits, which is the event loop's. How much is under way at
        # a time is bounded above us.
        self._set("objecter_inflight_ops", str(2**30))
        self._set("objecter_inflight_op_bytes", str(2**50))
        for output in ("log_to_stderr", "err_to_stderr"):
            self._set(output, "false")  # What goes wrong is raised.

    def _connect(self, options: RadosOptions) -> None:
        result = self._library.rados_connect(self._cluster)
        if result < 0:
            error = connection_failure(result, f"connecting as client.{options.user} with {options.conf}")
            if isinstance(error, TimedOut):
                raise TimedOut(f"{error}: no monitor within {options.connect_timeout_s} s")
            if isinstance(error, Misconfigured | PermissionDenied):
                hint = f"that file must name the monitors, and a keyring must hold the key of client.{options.user}"
                raise type(error)(f"{error}\nHINT: {hint}")
            raise error

    def _open_pool(self) -> None:
        result = self._library.rados_ioctx_create(self._cluster, self._namespace.pool.encode(), ctypes.byref(self.pool))
        if result == -errno.ENOENT:
            raise Misconfigured(f"pool {self._namespace.pool} does not exist\nHINT: ceph osd pool create")
        self._check(result, f"pool {self._namespace.pool}")
        self._library.rados_ioctx_set_namespace(self.pool, self._namespace.name.encode())

    def _size_limits(self) -> Iterator[int]:
        """Yield what we know of the cluster's limits for a body. A request has names and values in it, too."""
        for name, unit in (("osd_max_write_size", _MIB), ("osd_max_object_size", 1)):
            value = ctypes.create_string_buffer(64)
            if self._library.rados_conf_get(self._cluster, name.encode(), value, len(value)) == 0:
                yield int(value.value) * unit - _BESIDE_A_BODY_BYTES

    def _check_readable(self, option: str, path: str) -> None:
        try:
            with Path(path).open("rb"):
                return
        except OSError as error:
            raise Misconfigured(f"option {option}: {path}: {(error.strerror or '').lower()}") from error

    def _set(self, name: str, value: str) -> None:
        if self._library.rados_conf_set(self._cluster, name.encode(), value.encode()) < 0:
            raise Misconfigured(f"librados does not take {value!r} for {name}")

    def _check(self, result: int, doing: str) -> None:
        if result < 0:
            raise connection_failure(result, doing)


class Listing:
    """Names of objects, page by page. One thread at a time."""

    def __init__(self, library: ctypes.CDLL, session: Session, prefix: str) -> None:
        self._library = library
        self._session = session
        self._prefix = prefix.encode()
        self._doing = f"list {prefix or 'all'}"
        self._handle: ctypes.c_void_p | None = None

    def page(self, count_max: int, looked_at_max: int) -> tuple[list[str], bool]:
        """Return the next names, and whether there may be more. ``looked_at_max`` bounds the time it takes."""
        found: list[str] = []
        for _ in range(looked_at_max):
            name = self._next()
            if name is None:
                self._session.check_pool()  # The end looks the same.
                return found, False
            if name.startswith(self._prefix):
                found.append(name.decode("utf-8", "surrogateescape"))
                if len(found) == count_max:
                    break
        return found, True

    def close(self) -> None:
        """Release what the listing holds; may be called twice."""
        handle, self._handle = self._handle, None
        if handle is not None:
            self._library.rados_nobjects_list_close(handle)
        self._session.forget(self)

    def _next(self) -> bytes | None:
        if self._handle is None:
            handle = ctypes.c_void_p()
            result = self._library.rados_nobjects_list_open(self._session.pool, ctypes.byref(handle))
            if result < 0:
                raise failure(result, self._doing)
            self._handle = handle
        name = ctypes.c_char_p()
        result = self._library.rados_nobjects_list_next(self._handle, ctypes.byref(name), None, None)
        if result == -errno.ENOENT:
            return None
        if result < 0:
            raise failure(result, self._doing)
        return name.value
