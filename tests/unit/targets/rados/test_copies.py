from __future__ import annotations

import pytest

from targets.rados.copies import LARGE_BYTES, address, as_bytes, fill

SIZES = (0, 1, 1000, LARGE_BYTES, LARGE_BYTES + 1)


@pytest.mark.parametrize("size_bytes", SIZES)
def test_bytes_of_a_buffer_are_its_own(size_bytes: int) -> None:
    body = bytearray(number % 251 for number in range(size_bytes + 2))
    with memoryview(body)[1:-1] as view:
        copy = as_bytes(view)
    assert copy == body[1:-1]
    assert type(copy) is bytes
    body[:] = bytes(len(body))
    assert copy == bytes(number % 251 for number in range(1, size_bytes + 1))


def test_whole_bytes_are_not_copied() -> None:
    body = bytes(range(256))
    assert as_bytes(memoryview(body)) is body


def test_reversed_bytes_are_not_taken_for_the_whole() -> None:
    body = bytes(range(256))
    assert as_bytes(memoryview(body)[::-1]) == body[::-1]


@pytest.mark.parametrize("size_bytes", SIZES)
def test_room_is_filled_and_nothing_beside_it(size_bytes: int) -> None:
    room = bytearray(b"\xff" * (size_bytes + 2))
    content = bytes(number % 251 for number in range(size_bytes))
    with memoryview(room)[1:-1] as place:
        fill(place, content)
    assert room == b"\xff" + content + b"\xff"


def test_address_is_that_of_the_first_byte_of_a_view() -> None:
    body = bytes(100)
    with memoryview(body) as view, view[10:] as rest:
        start, later = address(view), address(rest)
    assert later == start + 10


def test_buffer_can_be_resized_once_the_view_is_released() -> None:
    buffer = bytearray(10)
    with memoryview(buffer) as view:
        assert address(view)
    buffer.clear()
