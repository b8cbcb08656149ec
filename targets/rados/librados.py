"""The C interface of librados: the only module that knows how it is called.

Why not the binding python3-rados, which is built on the same library:

- Its listing takes every error for the end. An OSD that hung for one time-out cut a listing of 5000 objects to
  1283, and nothing was raised: whoever removes what no listing shows would have lost the rest.
- It cannot ask for size, attributes and content in one request, so they could be those of different objects.
- It copies once more on the way in and on the way out, while no other Python code runs.
- It exists for the distribution's own Python only; librados.so.2 has kept its interface since 2012.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_char_p, c_int, c_size_t, c_uint8, c_uint64, c_void_p
from typing import Any

from targets.errors import Misconfigured

LIBRARY = "librados.so.2"
COMPLETED = ctypes.CFUNCTYPE(None, c_void_p, c_void_p)

CREATE_EXCLUSIVE = 1
CMPXATTR_EQUAL = 1
FULL_TRY = 64  # Fail when the cluster is full, instead of waiting until it is not; and let deletions pass.

_OUT = POINTER(c_void_p)
_STRINGS = POINTER(c_char_p)
_SIZE = POINTER(c_size_t)

# Name -> what it returns and takes. Handles are c_void_p; an int that is returned is 0 or a negative errno.
_FUNCTIONS: dict[str, tuple[Any, ...]] = {
    "rados_create": (c_int, _OUT, c_char_p),
    "rados_conf_read_file": (c_int, c_void_p, c_char_p),
    "rados_conf_set": (c_int, c_void_p, c_char_p, c_char_p),
    "rados_conf_get": (c_int, c_void_p, c_char_p, c_char_p, c_size_t),
    "rados_connect": (c_int, c_void_p),
    "rados_shutdown": (None, c_void_p),
    "rados_ioctx_create": (c_int, c_void_p, c_char_p, _OUT),
    "rados_ioctx_destroy": (None, c_void_p),
    "rados_ioctx_set_namespace": (None, c_void_p, c_char_p),
    "rados_ioctx_get_id": (ctypes.c_int64, c_void_p),
    "rados_pool_reverse_lookup": (c_int, c_void_p, ctypes.c_int64, c_char_p, c_size_t),
    "rados_aio_create_completion2": (c_int, c_void_p, COMPLETED, _OUT),
    "rados_aio_get_return_value": (c_int, c_void_p),
    "rados_aio_get_version": (c_uint64, c_void_p),
    "rados_aio_release": (None, c_void_p),
    "rados_create_write_op": (c_void_p,),
    "rados_release_write_op": (None, c_void_p),
    "rados_write_op_assert_version": (None, c_void_p, c_uint64),
    "rados_write_op_cmpxattr": (None, c_void_p, c_char_p, c_uint8, c_char_p, c_size_t),
    "rados_write_op_create": (None, c_void_p, c_int, c_char_p),
    "rados_write_op_write_full": (None, c_void_p, c_void_p, c_size_t),
    "rados_write_op_setxattr": (None, c_void_p, c_char_p, c_char_p, c_size_t),
    "rados_write_op_rmxattr": (None, c_void_p, c_char_p),
    "rados_write_op_remove": (None, c_void_p),
    "rados_aio_write_op_operate": (c_int, c_void_p, c_void_p, c_void_p, c_char_p, c_void_p, c_int),
    "rados_create_read_op": (c_void_p,),
    "rados_release_read_op": (None, c_void_p),
    "rados_read_op_assert_version": (None, c_void_p, c_uint64),
    "rados_read_op_stat": (None, c_void_p, c_void_p, c_void_p, c_void_p),
    "rados_read_op_cmpxattr": (None, c_void_p, c_char_p, c_uint8, c_char_p, c_size_t),
    "rados_read_op_getxattrs": (None, c_void_p, c_void_p, c_void_p),
    "rados_read_op_read": (None, c_void_p, c_uint64, c_size_t, c_void_p, c_void_p, c_void_p),
    "rados_aio_read_op_operate": (c_int, c_void_p, c_void_p, c_void_p, c_char_p, c_int),
    "rados_getxattrs_next": (c_int, c_void_p, _STRINGS, POINTER(c_void_p), _SIZE),
    "rados_getxattrs_end": (None, c_void_p),
    "rados_nobjects_list_open": (c_int, c_void_p, _OUT),
    "rados_nobjects_list_next": (c_int, c_void_p, _STRINGS, _STRINGS, _STRINGS),
    "rados_nobjects_list_close": (None, c_void_p),
}
# What may wait or copy much lets other threads run meanwhile. To the rest it would cost more than the call.
_LONG = {
    *("rados_conf_read_file", "rados_connect", "rados_shutdown", "rados_ioctx_create", "rados_ioctx_destroy"),
    *("rados_pool_reverse_lookup", "rados_write_op_write_full", "rados_nobjects_list_open"),
    *("rados_nobjects_list_next", "rados_nobjects_list_close"),
    *("rados_aio_write_op_operate", "rados_aio_read_op_operate"),
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
    short = ctypes.PyDLL(name)
    for function, (returned, *taken) in _FUNCTIONS.items():
        try:
            declared = getattr(library if function in _LONG else short, function)
        except AttributeError as error:
            raise Misconfigured(f"{name} has no {function}: expected librados2 of Ceph 15 or newer") from error
        declared.restype, declared.argtypes = returned, taken
        setattr(library, function, declared)
    return library


class _Buffer(ctypes.Structure):
    """``Py_buffer``, the same in every Python from 3.11 on."""

    _fields_ = (
        *(("buf", c_void_p), ("obj", c_void_p), ("len", ctypes.c_ssize_t), ("itemsize", ctypes.c_ssize_t)),
        *(("readonly", c_int), ("ndim", c_int), ("format", c_char_p)),
        *(("shape", c_void_p), ("strides", c_void_p), ("suboffsets", c_void_p), ("internal", c_void_p)),
    )


_get_buffer = ctypes.pythonapi.PyObject_GetBuffer
_get_buffer.argtypes = (ctypes.py_object, POINTER(_Buffer), c_int)
_release_buffer = ctypes.pythonapi.PyBuffer_Release
_release_buffer.argtypes = (POINTER(_Buffer),)
_release_buffer.restype = None


def address(view: memoryview) -> int | None:
    """Return where the bytes of ``view`` are; valid until the view is released. None if it is empty."""
    buffer = _Buffer()
    _get_buffer(view, ctypes.byref(buffer), 0)
    _release_buffer(ctypes.byref(buffer))  # The view itself keeps the bytes in their place.
    found: int | None = buffer.buf
    return found
