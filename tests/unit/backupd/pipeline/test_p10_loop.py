"""P10: nothing that takes long is ever called in the event loop's thread."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from chunker.destinations.file import FileDestination
from chunker.sources.file import FileSource
from targets.local import LocalTarget
from tests.support.rig import rig

# Built-in functions that hash, compress, encrypt or wait for a disk.
_BLOCKING = {
    "digest", "readinto", "encrypt_into", "decrypt_into", "compress", "decompress",
    "pread", "preadv", "pwrite", "pwritev", "write", "fsync", "fdatasync", "link", "rename", "execute", "executemany",
    "lseek", "ioctl", "scandir",
}  # fmt: skip
# Of a kilobyte at most, a few times a job: the way to a thread and back would take longer.
_SMALL = ("backupd/repository/manifest.py", "backupd/repository/description.py", "chunker/keys.py")


@contextmanager
def calls_in_this_thread() -> Iterator[list[str]]:
    """Record every call of a blocking built-in function in the current thread."""
    seen: list[str] = []

    def watch(frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call" and getattr(argument, "__name__", "") in _BLOCKING and not is_small(frame):
            seen.append(f"{argument.__name__} in {frame.f_code.co_filename}:{frame.f_lineno}")

    sys.setprofile(watch)
    try:
        yield seen
    finally:
        sys.setprofile(None)


def is_small(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.endswith(_SMALL):
            return True
        frame = frame.f_back
    return False


async def test_p10_loop_never_hashes_compresses_encrypts_or_touches_a_disk(tmp_path: Path) -> None:
    volume = tmp_path / "volume.img"
    volume.write_bytes(random.Random(1).randbytes(3_000_000) + bytes(500_000) + b"compressible " * 100_000)
    (tmp_path / "target").mkdir()
    target = LocalTarget(tmp_path / "target")
    async with rig(target=target, index_path=tmp_path / "index.db") as made:
        point = FileSource(volume).open()
        with calls_in_this_thread() as blocking:
            manifest, _ = await made.back_up(point)
            await made.verify(manifest)
        destination = FileDestination(tmp_path / "restored", manifest.size_bytes, restore_id="one")
        with calls_in_this_thread() as blocking_in_restore:
            await made.restore_to(manifest, destination)
        point.close()
    await target.aclose()
    assert (tmp_path / "restored").read_bytes() == volume.read_bytes()
    assert blocking == []
    assert blocking_in_restore == []


def test_the_watch_sees_a_blocking_call() -> None:
    with calls_in_this_thread() as blocking, Path(__file__).open("rb") as file:
        file.readinto(bytearray(1))
    assert any(call.startswith("readinto") for call in blocking)
