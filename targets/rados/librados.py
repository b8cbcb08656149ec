"""The C interface of librados, as far as ``listing`` needs it: the only module that knows how it is called.

All else goes through the binding (see ``binding``), whose handles are its own: so this has a connection to itself.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_char_p, c_int, c_int64, c_size_t, c_void_p
from typing import Any

from targets.errors import Misconfigured

LIBRARY = "librados.so.2"

_OUT = POINTER(c_void_p)
_STRINGS = POINTER(c_char_p)

# Name -> what it returns and takes. Handles are c_void_p; an int that is returned is 0 or a negative errno.
_FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "rados_create": (c_int, _OUT, c_char_p),
    "rados_conf_read_file": (c_int, c_void_p, c_char_p),
    "rados_conf_set": (c_int, c_void_p, c_char_p, c_char_p),
    "rados_connect": (c_int, c_void_p),
    "rados_shutdown": (None, c_void_p),
    "rados_ioctx_create2": (c_int, c_void_p, c_int64, _OUT),
    "rados_ioctx_destroy": (None, c_void_p),
    "rados_ioctx_set_namespace": (None, c_void_p, c_char_p),
    "rados_pool_reverse_lookup": (c_int, c_void_p, c_int64, c_char_p, c_size_t),
    "rados_nobjects_list_open": (c_int, c_void_p, _OUT),
    "rados_nobjects_list_next": (c_int, c_void_p, _STRINGS, _STRINGS, _STRINGS),
    "rados_nobjects_list_close": (None, c_void_p),
}


def load(name: str = LIBRARY) -> ctypes.CDLL:
    """Return the library. Misconfigured, with what to install, when there is none or when it is too old."""
    try:
        library = ctypes.CDLL(name)
    except OSError as error:
        raise Misconfigured(
            f"a rados target needs {name}, which is not here: {error}\n"
            "HINT: install the package librados2, with a version that fits the cluster's"
        ) from error
    for function, (returned, *taken) in _FUNCTIONS.items():
        try:
            declared = getattr(library, function)
        except AttributeError as error:
            raise Misconfigured(f"{name} has no {function}: expected librados2 of Ceph 16 or newer") from error
        declared.restype, declared.argtypes = returned, taken
    return library
