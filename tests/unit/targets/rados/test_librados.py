from __future__ import annotations

import pytest

from targets.errors import Misconfigured
from targets.rados.librados import address, load


def test_library_that_is_missing_is_told_with_what_to_install() -> None:
    with pytest.raises(Misconfigured, match=r"needs librados-absent\.so\.2.*\n.*install the package librados2"):
        load("librados-absent.so.2")


def test_library_that_is_another_one_is_told() -> None:
    with pytest.raises(Misconfigured, match=r"libc\.so\.6 has no rados_create"):
        load("libc.so.6")


def test_address_is_that_of_the_first_byte_of_a_view() -> None:
    body = bytes(100)
    with memoryview(body) as view, view[10:] as rest:
        start, later = address(view), address(rest)
    assert start is not None
    assert later == start + 10


def test_buffer_can_be_resized_once_the_view_is_released() -> None:
    buffer = bytearray(10)
    with memoryview(buffer) as view:
        assert address(view)
    buffer.clear()
