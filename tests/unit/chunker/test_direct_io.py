from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from chunker import direct_io
from chunker.direct_io import ALIGNMENT_BYTES, is_aligned
from tests.support.buffers import aligned

PAGE = bytes(ALIGNMENT_BYTES)


def test_whole_page_at_a_page_is_aligned() -> None:
    assert is_aligned(ALIGNMENT_BYTES, aligned(PAGE), size_bytes=2 * ALIGNMENT_BYTES)


@pytest.mark.parametrize(
    ("offset_bytes", "buffer"),
    [
        (1, aligned(PAGE)),
        (0, aligned(PAGE + PAGE)[512:-512]),
        (0, aligned(PAGE)[:-1]),
        (0, aligned(b"")),
        (0, memoryview(PAGE)),
        (ALIGNMENT_BYTES, aligned(PAGE)),
    ],
    ids=["offset", "address", "length", "empty", "read-only", "last page of the file is short"],
)
def test_anything_else_is_not(offset_bytes: int, buffer: memoryview) -> None:
    assert not is_aligned(offset_bytes, buffer, size_bytes=2 * ALIGNMENT_BYTES - 1)


def test_reopened_file_is_the_same_and_direct(tmp_path: Path) -> None:
    path = tmp_path / "volume"
    path.write_bytes(PAGE)
    with path.open("rb") as file:
        direct = direct_io.reopen(file.fileno(), os.O_RDONLY)
        assert direct is not None
        try:
            assert os.path.samestat(os.fstat(direct), os.fstat(file.fileno()))
            assert fcntl.fcntl(direct, fcntl.F_GETFL) & os.O_DIRECT
        finally:
            os.close(direct)


def test_file_system_without_direct_io_is_no_failure() -> None:
    with Path("/proc/self/status").open("rb") as file:
        assert direct_io.reopen(file.fileno(), os.O_RDONLY) is None
