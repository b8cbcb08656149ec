"""Copies of bodies: the binding takes and gives nothing but bytes. Large ones are copied while other code runs."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_char_p, c_int, c_ssize_t, c_void_p

# From this size on a copy takes longer than to have a thread make it, while the event loop goes on.
LARGE_BYTES = 512 * 1024


class _Buffer(ctypes.Structure):
    """Py_buffer, whose layout is fixed since Python 3.11."""

    _fields_ = (
        *(("buf", c_void_p), ("obj", c_void_p), ("len", c_ssize_t), ("itemsize", c_ssize_t)),
        *(("readonly", c_int), ("ndim", c_int), ("format", c_char_p)),
        *(("shape", c_void_p), ("strides", c_void_p), ("suboffsets", c_void_p), ("internal", c_void_p)),
    )


_get_buffer = ctypes.pythonapi.PyObject_GetBuffer
_get_buffer.argtypes = (ctypes.py_object, POINTER(_Buffer), c_int)
_release_buffer = ctypes.pythonapi.PyBuffer_Release
_release_buffer.argtypes = (POINTER(_Buffer),)
_release_buffer.restype = None
_new_bytes = ctypes.pythonapi.PyBytes_FromStringAndSize
_new_bytes.argtypes = (c_char_p, c_ssize_t)
_new_bytes.restype = ctypes.py_object


def as_bytes(body: memoryview) -> bytes:
    """Return the bytes of ``body``: the very object, if it shows the whole of one."""
    whole = body.obj
    if type(whole) is bytes and len(whole) == body.nbytes and body.contiguous:
        return whole
    if body.nbytes < LARGE_BYTES:
        return bytes(body)
    copy: bytes = _new_bytes(None, body.nbytes)  # Python allows to fill it as long as nobody else has seen it.
    with memoryview(copy) as room:
        ctypes.memmove(address(room), address(body), body.nbytes)
    return copy


def fill(room: memoryview, content: bytes) -> None:
    """Copy ``content``, which is as long as ``room``, into it."""
    if room.nbytes < LARGE_BYTES:
        room[:] = content
        return
    assert len(content) == room.nbytes
    assert not room.readonly
    with memoryview(content) as view:
        ctypes.memmove(address(room), address(view), room.nbytes)


def address(view: memoryview) -> int:
    """Return where the bytes of ``view``, which is not empty, are; valid until it is released."""
    buffer = _Buffer()
    _get_buffer(view, ctypes.byref(buffer), 0)
    _release_buffer(ctypes.byref(buffer))  # The view itself keeps the bytes in their place.
    found: int | None = buffer.buf
    assert found is not None
    return found
