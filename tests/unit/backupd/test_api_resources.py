from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backupd.model import Failure, JobState
from tests.support.served import HEALTH, Served, serve
from tests.support.world import PROJECT, VOLUME_BYTES


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve(tmp_path) as served:
        yield served


@pytest.fixture
async def with_volume(served: Served) -> Served:
    await served.world.add_volume()
    return served


async def test_health_is_what_the_service_says(served: Served) -> None:
    assert await served.get("/healthz") == HEALTH


async def test_targets_are_listed_without_secrets(served: Served) -> None:
    local, other = await served.get("/v1/targets")
    assert local["name"] == "local"
    assert local["capabilities"]["conditional_put"] is True
    assert other["url"] == "s3://host/bucket"
    assert await served.get("/v1/targets/local") == {**local, "probe": None}


async def test_a_backup_type_is_added_shown_listed_and_removed(served: Served) -> None:
    body = {"name": "fast", "target": "local", "compression_level": 1, "is_encrypted": False}
    status, added = await served.post("/v1/backup-types", body)
    assert status == 201
    assert added == {
        "id": added["id"],
        **body,
        "copies": [],
        "quorum": 1,
        "chunk_size_bytes": 262144,
        "is_deduplicated": True,
        "bytes_per_s": 0,
        "verify_bytes": 0,
        "retention": None,
        "is_configured": False,
        "created_at": added["created_at"],
        "targets": [{"name": "local", "conditional_put": True, "object_size_bytes_max": 2**63 - 1}],
        "problems": [],
    }
    assert await served.get("/v1/backup-types") == [added]
    for name in ("fast", added["id"]):
        assert await served.get(f"/v1/backup-types/{name}") == added
    assert await served.delete("/v1/backup-types/fast") == (204, None)
    assert await served.get("/v1/backup-types") == []


async def test_a_volume_is_added_shown_listed_and_removed(with_volume: Served) -> None:
    path = with_volume.world.sources / "second.img"
    path.touch()
    body = {"name": "second", "path": str(path), "backup_type": "standard", "allow_live": True}
    status, added = await with_volume.post("/v1/volumes", body)
    assert status == 201
    (standard,) = await with_volume.get("/v1/backup-types")
    assert (added["path"], added["backup_type_id"], added["allow_live"]) == (str(path), standard["id"], True)
    assert "project" not in added
    assert len(await with_volume.get("/v1/volumes")) == 2
    assert await with_volume.get("/v1/volumes/second") == added
    assert await with_volume.delete("/v1/volumes/second") == (204, None)
    assert len(await with_volume.get("/v1/volumes")) == 1


async def test_a_type_has_all_its_targets_and_what_each_can_do(served: Served) -> None:
    body = {"name": "both", "target": "local", "copies": ["other"], "quorum": 2, "retention": "short"}
    status, added = await served.post("/v1/backup-types", body)
    assert (status, added["copies"], added["quorum"], added["retention"]) == (201, ["other"], 2, "short")
    assert [(one["name"], one["conditional_put"]) for one in added["targets"]] == [("local", True), ("other", True)]


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("copies", "other", "a list of strings"),
        ("copies", [1], "a list of strings"),
        ("quorum", 2, "an integer from 1 to 1, the number of targets"),
        ("bytes_per_s", 1.5, "an integer"),
        ("retention", "long", "a retention of the configuration: short"),
    ],
)
async def test_a_bad_field_of_a_type_is_named(served: Served, field: str, value: object, expected: str) -> None:
    status, problem = await served.post("/v1/backup-types", {"name": "odd", "target": "local", field: value})
    assert (status, problem["code"]) == (400, "request.invalid")
    assert problem["detail"].startswith(f"{field} = ")
    assert problem["detail"].endswith(f"expected {expected}")


async def test_a_volume_gets_another_type_and_goes_back_to_the_default(with_volume: Served) -> None:
    await with_volume.post("/v1/backup-types", {"name": "fast", "target": "local"})
    status, changed = await with_volume.patch("/v1/volumes/disk", {"backup_type": "fast"})
    assert (status, changed["backup_type"], changed["backup_type_from"]) == (200, "fast", "volume")
    status, changed = await with_volume.patch("/v1/volumes/disk", {"backup_type": None})
    assert (status, changed["backup_type_id"], changed["backup_type"]) == (200, None, None)
    assert await with_volume.get("/v1/volumes/disk") == changed


async def test_a_change_of_a_volume_says_what_it_changes(with_volume: Served) -> None:
    status, problem = await with_volume.patch("/v1/volumes/disk", {})
    assert (status, problem["detail"]) == (400, "backup_type: missing; expected a string or null")
    status, problem = await with_volume.patch("/v1/volumes/disk", {"name": "new"})
    assert (status, problem["detail"]) == (400, "name: unknown field; expected backup_type")


async def test_a_backup_may_not_name_just_any_type(with_volume: Served) -> None:
    await with_volume.post("/v1/backup-types", {"name": "fast", "target": "local"})
    status, problem = await with_volume.post("/v1/backups", {"volume": "disk", "backup_type": "fast"})
    assert status == 400
    assert problem["detail"].startswith('backup_type = "fast": expected one of standard')


async def test_retention_is_shown_with_its_reasons(with_volume: Served) -> None:
    await with_volume.post("/v1/backup-types", {"name": "thin", "target": "local", "retention": "short"})
    await with_volume.patch("/v1/volumes/disk", {"backup_type": "thin"})
    made = [await with_volume.world.add_backup() for _ in range(3)]
    shown = await with_volume.get("/v1/volumes/disk/retention")
    assert (shown["backup_type"], shown["retention"], shown["rules"]["keep_last"]) == ("thin", "short", 2)
    assert [(one["id"], one["is_kept"], one["reasons"]) for one in shown["backups"]] == [
        (made[2].id, True, ["last"]),
        (made[1].id, True, ["last"]),
        (made[0].id, False, []),
    ]


async def test_a_name_that_is_taken_is_a_conflict(with_volume: Served) -> None:
    status, problem = await with_volume.post("/v1/backup-types", {"name": "standard", "target": "local"})
    assert (status, problem["code"]) == (409, "conflict")


async def test_what_was_made_says_where_it_is(with_volume: Served) -> None:
    body = {"name": "fast", "target": "local"}
    async with with_volume.client.post("/v1/backup-types", json=body) as response:
        location = response.headers["Location"]
    assert (await with_volume.get(location))["name"] == "fast"


async def test_a_backup_is_started_and_its_job_shown(with_volume: Served) -> None:
    status, started = await with_volume.post("/v1/backups", {"volume": "disk"})
    backup, job = started["backup"], started["job"]
    assert (status, backup["state"], job["state"]) == (202, "creating", "queued")
    assert "copies" not in backup  # Only who asks for one backup is told, as nobody else has looked.
    assert await with_volume.get(f"/v1/backups/{backup['id']}") == {
        **backup,
        "copies": [],
        "hold": None,
        "taken_with": [],
    }
    assert await with_volume.get("/v1/backups?volume=disk") == [backup]
    shown = await with_volume.get(f"/v1/jobs/{job['id']}")
    assert shown == {**job, "attempts": [], "result": None}


async def test_a_finished_backup_shows_its_statistics(with_volume: Served) -> None:
    made = await with_volume.world.add_backup()
    backup = await with_volume.get(f"/v1/backups/{made.id}")
    assert (backup["state"], backup["size_bytes"], backup["failure"]) == ("available", VOLUME_BYTES, None)
    assert backup["statistics"]["read_bytes"] == VOLUME_BYTES
    (job,) = await with_volume.get("/v1/jobs?kind=backup&state=succeeded")
    shown = await with_volume.get(f"/v1/jobs/{job['id']}")
    assert shown["result"]["size_bytes"] == VOLUME_BYTES
    assert [(attempt["number"], attempt["state"]) for attempt in shown["attempts"]] == [(1, "succeeded")]


async def test_times_are_utc_with_a_z(with_volume: Served) -> None:
    (volume,) = await with_volume.get("/v1/volumes")
    now = with_volume.world.clock.now()
    assert volume["created_at"] == f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z"


async def test_a_failed_job_says_why(with_volume: Served) -> None:
    await with_volume.post("/v1/backups", {"volume": "disk"})
    job = await with_volume.world.claim_job()
    failure = Failure("source.changed", "the size has changed")
    await with_volume.world.end_job(job, JobState.FAILED, failure)
    shown = await with_volume.get(f"/v1/jobs/{job.id}")
    expected = {"code": "source.changed", "message": "the size has changed"}
    assert shown["failure"] == shown["attempts"][0]["failure"] == expected
    assert (await with_volume.get(f"/v1/backups/{job.backup_id}"))["failure"] == expected


async def test_a_backup_is_deleted_by_a_job(with_volume: Served) -> None:
    made = await with_volume.world.add_backup()
    status, answer = await with_volume.delete(f"/v1/backups/{made.id}")
    assert (status, answer["job"]["kind"], answer["job"]["backup_id"]) == (202, "delete", made.id)


async def test_a_restore_shows_its_destination(with_volume: Served) -> None:
    made = await with_volume.world.add_backup()
    path = str(with_volume.world.restores / "new.img")
    status, answer = await with_volume.post("/v1/restores", {"backup": made.id, "path": path})
    assert (status, answer["job"]["destination"]) == (202, {"path": path, "overwrite": False})


async def test_a_verification_is_started(with_volume: Served) -> None:
    made = await with_volume.world.add_backup()
    status, answer = await with_volume.post("/v1/verifications", {"backup": made.id})
    assert (status, answer["job"]["kind"]) == (202, "verify")
    assert "destination" not in answer["job"]


async def test_the_extents_of_a_job_stay_inside(with_volume: Served) -> None:
    parent = await with_volume.world.add_backup()
    extents = [{"offset_bytes": 0, "length_bytes": 512}]
    body = {"volume": "disk", "parent": parent.id, "changed_extents": extents}
    _, started = await with_volume.post("/v1/backups", body)
    assert "request" not in started["job"]
    job = await with_volume.world.catalog.job(PROJECT, started["job"]["id"])
    assert job.request == {"changed_extents": [[0, 512]]}


async def test_a_job_is_cancelled(with_volume: Served) -> None:
    _, started = await with_volume.post("/v1/backups", {"volume": "disk"})
    status, answer = await with_volume.post(f"/v1/jobs/{started['job']['id']}/cancel", None)
    assert (status, answer["job"]["state"]) == (202, "cancelled")
    status, problem = await with_volume.post(f"/v1/jobs/{started['job']['id']}/cancel", None)
    assert (status, problem["code"]) == (409, "conflict")
