"""P10: nothing that takes long is ever called in the event loop's thread; here by the pipelines."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

from chunker.destinations.file import FileDestination
from chunker.sources.file import FileSource
from targets.local import LocalTarget
from tests.support.blocking_calls import calls_in_this_thread
from tests.support.rig import rig


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


def test_the_watch_sees_a_blocking_call(tmp_path: Path) -> None:
    with calls_in_this_thread() as blocking, Path(__file__).open("rb") as file:
        file.readinto(bytearray(1))
        connection = sqlite3.connect(tmp_path / "database")
        connection.execute("PRAGMA user_version")
        connection.close()
    assert [call.split()[0] for call in blocking] == ["open", "readinto", "execute"]
