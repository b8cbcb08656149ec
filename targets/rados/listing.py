"""Names of objects, from librados itself: the binding would take an error for the end of them."""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Callable
from dataclasses import dataclass

from targets.rados.failures import connection_failure, failure
from targets.rados.options import Namespace, RadosOptions

_POOL_NAME_BYTES_MAX = 4096


@dataclass(frozen=True, slots=True)
class Listed:
    """What a listing needs of a session. ``pool_id``: a pool of the same name may be another one."""

    library: ctypes.CDLL
    namespace: Namespace
    pool_id: int
    options: RadosOptions


class Listing:
    """Names that start with ``prefix``, page by page, over a connection of its own. One thread at a time."""

    def __init__(self, listed: Listed, prefix: str, *, on_close: Callable[[Listing], None]) -> None:
        self._library = listed.library
        self._listed = listed
        self._prefix = prefix.encode()
        self._doing = f"list {prefix or 'all'}"
        self._on_close = on_close
        self._cluster = ctypes.c_void_p()
        self._pool = ctypes.c_void_p()
        self._names = ctypes.c_void_p()
        self.is_closed = False

    def page(self, count_max: int, looked_at_max: int) -> tuple[list[str], bool]:
        """Return the next names, and whether there may be more. ``looked_at_max`` bounds the time it takes."""
        if not self._names:
            self._open()
        found: list[str] = []
        for _ in range(looked_at_max):
            name = self._next()
            if name is None:
                self._check_pool()  # The end looks the same.
                return found, False
            if name.startswith(self._prefix):
                found.append(name.decode("utf-8", "surrogateescape"))
                if len(found) == count_max:
                    break
        return found, True

    def close(self) -> None:
        """Disconnect, which blocks; may be called twice."""
        if self._names:
            self._library.rados_nobjects_list_close(self._names)
        if self._pool:
            self._library.rados_ioctx_destroy(self._pool)
        if self._cluster:
            self._library.rados_shutdown(self._cluster)
        self._names = self._pool = self._cluster = ctypes.c_void_p()
        self.is_closed = True
        self._on_close(self)

    def _open(self) -> None:
        library, listed = self._library, self._listed
        conf, user = listed.options.conf, listed.options.user
        self._check_connection(library.rados_create(ctypes.byref(self._cluster), user.encode()))
        self._check_connection(library.rados_conf_read_file(self._cluster, conf.encode()))
        for name, value in listed.options.settings():
            self._check_connection(library.rados_conf_set(self._cluster, name.encode(), value.encode()))
        self._check_connection(library.rados_connect(self._cluster))
        result = library.rados_ioctx_create2(self._cluster, listed.pool_id, ctypes.byref(self._pool))
        if result == -errno.ENOENT:
            raise listed.namespace.gone()
        self._check_connection(result)
        library.rados_ioctx_set_namespace(self._pool, listed.namespace.name.encode())
        result = library.rados_nobjects_list_open(self._pool, ctypes.byref(self._names))
        if result < 0:
            raise failure(result, self._doing)

    def _next(self) -> bytes | None:
        name = ctypes.c_char_p()
        result = self._library.rados_nobjects_list_next(self._names, ctypes.byref(name), None, None)
        if result == -errno.ENOENT:
            return None
        if result < 0:
            raise failure(result, self._doing)
        return name.value

    def _check_pool(self) -> None:
        """Ask our own connection: that of the session may not have heard yet."""
        name = ctypes.create_string_buffer(_POOL_NAME_BYTES_MAX)
        result = self._library.rados_pool_reverse_lookup(self._cluster, self._listed.pool_id, name, len(name))
        if result == -errno.ENOENT:
            raise self._listed.namespace.gone()
        if result < 0:
            raise failure(result, self._doing)

    def _check_connection(self, result: int) -> None:
        if result < 0:
            raise connection_failure(result, f"{self._doing}: connecting as client.{self._listed.options.user}")
