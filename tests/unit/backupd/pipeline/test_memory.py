from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from backupd.pipeline.memory import pages

HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage")


def flags_of(buffer: memoryview) -> tuple[str, list[str]]:
    """Return access and flags of the mapping that a buffer lies in (proc_pid_smaps(5))."""
    address = ctypes.addressof(ctypes.c_char.from_buffer(buffer))
    access = ""
    is_there = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        words = line.split()
        if "-" in words[0] and not words[0].endswith(":"):
            start, end = (int(one, 16) for one in words[0].split("-"))
            is_there, access = start <= address < end, words[1]
        elif is_there and words[0] == "VmFlags:":
            return access, words[1:]
    raise AssertionError("no mapping has it")


@pytest.mark.parametrize(("size_mib", "is_huge"), [(1, False), (2, True), (8, True)])
def test_a_large_buffer_is_private_and_asks_for_huge_pages(size_mib: int, is_huge: bool) -> None:
    buffer = pages(size_mib * 1024 * 1024)
    access, flags = flags_of(buffer)
    assert (access, "hg" in flags) == ("rw-p", is_huge and HUGE_PAGES.exists())
    assert bytes(buffer[:8]) == bytes(8)
