"""What a user sees of an audit that finds tracking wrong: the backup, those that are suspect, a message, a count."""

from __future__ import annotations

import random
from pathlib import Path

import aiohttp

from tests.support.api import CHUNK_SIZE_BYTES
from tests.support.daemon import Place, serving

AUDIT = "[audit]\ncover_within_days = 0\ncover_within_backups = 1\n"


async def test_p9_audit_tracking_that_lied_is_told_by_backups_messages_and_metrics(tmp_path: Path) -> None:
    place = Place(tmp_path, more=AUDIT)
    image = place.sources / "disk"
    image.write_bytes(random.Random(1).randbytes(4 * CHUNK_SIZE_BYTES))
    async with serving(place) as daemon:
        volume = await daemon.add_volume(image)
        full = await daemon.back_up(volume)
        with image.open("r+b") as file:
            file.write(b"changed, and not told")
        found = await daemon.back_up(volume, parent=full["id"], changed_extents=[])
        assert found["full_read_reason"].startswith("tracking is wrong: changes at byte 0 were not told")
        (message,) = await daemon.get("/v1/messages")
        assert (message["resource_type"], message["resource_id"]) == ("VOLUME", full["volume_id"])
        assert message["text"].startswith(
            "rely on changed-block tracking:It failed because what told the changes of the volume has left some out."
        )
        assert daemon.backupctl("message", "list") == (0, [message])
        after = await daemon.back_up(volume, parent=found["id"], changed_extents=[])
        assert after["full_read_reason"].startswith("tracking is quarantined")
        async with aiohttp.ClientSession() as session, session.get(f"{daemon.url}/metrics") as response:
            told = (await response.text()).splitlines()
    for line in (
        'backupd_backups_total{read_as="whole",why="full"} 1.0',
        'backupd_backups_total{read_as="whole",why="audit"} 1.0',
        'backupd_backups_total{read_as="whole",why="quarantine"} 1.0',
        "backupd_audit_mismatches_total 1.0",
        'backupd_jobs{kind="backup",state="succeeded"} 3.0',
    ):
        assert line in told
    assert any(line.startswith('backupd_loop_lag_seconds{quantile="p99"}') for line in told)
