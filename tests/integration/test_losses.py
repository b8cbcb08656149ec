"""P1: what a target lost or damaged is noticed, and the backup after that has all that it needs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backupd.repository import keyring
from backupd.repository.repository import new_description
from tests.support.api import Api
from tests.support.crashes import resumed
from tests.support.daemon import Place
from tests.support.volumes import random_bytes

CONTENT = random_bytes(20 * 1024 * 1024)


def lose(pack: Path) -> None:
    pack.unlink()


def damage(pack: Path) -> None:
    body = bytearray(pack.read_bytes())
    body[1000] ^= 1
    pack.write_bytes(body)


def largest_pack(place: Place) -> str:
    packs = place.objects("packs")
    return max(packs, key=packs.__getitem__)


async def verified(api: Api, backup: Any) -> Any:
    return await api.verify(backup)


async def restored(api: Api, backup: Any) -> Any:
    return await api.ended(await api.start_restore(backup, Path(backup["restores"]) / "lost"))


@pytest.mark.parametrize("find_out", [verified, restored])
@pytest.mark.parametrize("harm", [lose, damage])
async def test_p1_exact_what_was_found_lost_or_damaged_is_stored_anew(
    place: Place, harm: Callable[[Path], None], find_out: Callable[[Api, Any], Any]
) -> None:
    (place.sources / "disk").write_bytes(CONTENT)
    async with resumed(place) as api:
        backup = await api.back_up(await api.add_volume(place.sources / "disk"))
    key = largest_pack(place)
    harm(place.target / key)
    async with resumed(place) as api:  # Anew, so that no index is open yet.
        job = await find_out(api, backup | {"restores": place.restores})
        assert job["failure"]["code"] == "repository.corrupt"
        assert key.split("/", 2)[2] in job["failure"]["message"]
        again = await api.back_up("disk", mode="full")
        assert (await api.verify(again))["state"] == "succeeded"
        assert (await api.restore(again, place.restores / "disk")).read_bytes() == CONTENT


async def failed_backup(api: Api, **request: Any) -> tuple[str, str]:
    job = await api.ended(await api.start_backup("disk", **request))
    assert (await api.get(f"/v1/backups/{job['backup_id']}"))["state"] == "error"
    return job["failure"]["code"], job["failure"]["message"]


def empty(target: Path) -> None:
    for path in target.glob("[!.]*"):
        shutil.rmtree(path)


async def test_p1_exact_no_backup_is_made_on_a_target_that_was_emptied_under_the_daemon(place: Place) -> None:
    (place.sources / "disk").write_bytes(CONTENT)
    async with resumed(place) as api:
        await api.back_up(await api.add_volume(place.sources / "disk"))
        empty(place.target)
        code, message = await failed_backup(api, mode="full")
        assert (code, message.splitlines()[0]) == (
            "repository.corrupt",
            "repository.json is lost: target local had it, and has no such object now",
        )
        assert place.objects("**") == {}


async def test_p7_closed_no_repository_is_made_where_the_catalog_knows_backups(place: Place) -> None:
    (place.sources / "disk").write_bytes(CONTENT)
    async with resumed(place) as api:
        lost = await api.back_up(await api.add_volume(place.sources / "disk"))
    empty(place.target)
    async with resumed(place) as api:
        code, message = await failed_backup(api, mode="full")
        assert code == "repository.corrupt"
        assert message.startswith("repository.json is lost: target local holds backups, and has no such object")
        assert place.objects("**") == {}
        # Who gives up what was there begins anew.
        await api.delete(lost)
        again = await api.back_up("disk", mode="full")
        assert (await api.restore(again, place.restores / "disk")).read_bytes() == CONTENT


async def test_p7_closed_a_repository_that_was_replaced_under_the_daemon_is_not_written_to(place: Place) -> None:
    (place.sources / "disk").write_bytes(CONTENT)
    async with resumed(place) as api:
        await api.back_up(await api.add_volume(place.sources / "disk"))
        keys = keyring.load(place.root / "state" / "master.key")
        other = new_description(keys, is_encrypted=True, created_at="2026-11-24T03:00:00+00:00")
        (place.target / "default" / "encrypted" / "repository.json").write_bytes(other)
        code, message = await failed_backup(api, mode="full")
        assert code == "repository.mismatch"
        assert "target local" in message
