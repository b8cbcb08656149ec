"""P1 exact: a volume that a command of the operator's tracks, through the daemon, which is restarted between."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.support import journal_tracker
from tests.support.api import CHUNK_SIZE_BYTES
from tests.support.daemon import Place, serving
from tests.support.journal_tracker import Journal
from tests.support.volumes import random_bytes

CONTENT = random_bytes(16 * CHUNK_SIZE_BYTES)
_SECTION = """
[sources.external.journal]
command = ["{python}", "-I", "-S", "{script}", "{{root}}/tracked"]
paths = ["{{root}}/tracked"]
[sources.external.journal.parameters]
volume = "[a-z]+"
"""


def place(root: Path) -> Place:
    return Place(root, more=_SECTION.format(python=sys.executable, script=journal_tracker.__file__))


async def test_p1_exact_increments_of_what_a_command_tracks(tmp_path: Path) -> None:
    (tmp_path / "tracked" / "disk").mkdir(parents=True)
    journal = Journal(tmp_path / "tracked" / "disk")
    journal.image.write_bytes(CONTENT)
    async with serving(place(tmp_path)) as daemon:
        await daemon.post(
            "/v1/backup-types", {"name": "standard", "target": "local", "chunk_size_bytes": CHUNK_SIZE_BYTES}
        )
        volume = {"name": "disk", "source": "external:journal?volume=disk", "backup_type": "standard"}
        await daemon.post("/v1/volumes", volume)
        full = await daemon.back_up("disk")
    journal.write(3 * CHUNK_SIZE_BYTES, b"written")
    changed = journal.image.read_bytes()
    async with serving(place(tmp_path)) as daemon:
        increment = await daemon.back_up("disk", mode="incremental")
        assert increment["full_read_reason"] is None
        assert increment["statistics"]["new_chunks"] == 1
        for backup, content in ((full, CONTENT), (increment, changed)):
            restored = await daemon.restore(backup, daemon.place.restores / backup["id"])
            assert restored.read_bytes() == content

        for point in journal.image.parent.glob("point-*"):
            point.unlink()  # So the command knows the parent no more.
        read = await daemon.back_up("disk", mode="incremental")
        assert "there is no point" in read["full_read_reason"]
        assert read["statistics"]["new_chunks"] == 0


async def test_what_a_request_says_reaches_a_command_only_as_declared(tmp_path: Path) -> None:
    async with serving(place(tmp_path)) as daemon:
        for source in (
            "external:journal?volume=../disk",
            "external:journal?volume=disk&x=1",
            "external:sh?volume=disk",
        ):
            status, problem = await daemon.ask("/v1/volumes", {"name": "disk", "source": source})
            assert status == 400
            assert "source = " in problem["detail"]
