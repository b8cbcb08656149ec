from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from backupd.config import QuotasConfig
from backupd.model import Failure, JobKind, JobState, Progress
from tests.support.v3 import PROJECT, V3, serve_v3

MISSING = "00000000-0000-4000-8000-000000000001"
ATTACH = {"os-attach": {"host_name": "h", "mountpoint": "/dev/vdb"}}


@pytest.fixture
async def v3(tmp_path: Path) -> AsyncIterator[V3]:
    async with serve_v3(tmp_path) as served:
        yield served


def wanted(volume_id: str, **fields: Any) -> dict[str, Any]:
    return {"backup": {"volume_id": volume_id, **fields}}


async def test_a_backup_goes_from_creating_to_available_and_its_volume_back(v3: V3) -> None:
    volume_id = await v3.add_volume()
    backup_id = await v3.start_backup(volume_id, name=" nightly ", description="d", container="c")
    found = await v3.backup(backup_id)
    assert (found["status"], found["name"], found["container"]) == ("creating", "nightly", "c")
    assert (found["size"], found["object_count"], found["is_incremental"]) == (1, 0, False)
    assert (await v3.volume(volume_id))["status"] == "backing-up"
    await v3.work()
    found = await v3.backup(backup_id)
    assert (found["status"], found["object_count"], found["data_timestamp"]) == ("available", 1, found["created_at"])
    assert (await v3.volume(volume_id))["status"] == "available"


async def test_both_forms_of_the_url_lead_to_the_same_and_links_keep_theirs(v3: V3) -> None:
    backup_id = await v3.add_backup(await v3.add_volume())
    with_project = V3(v3.world, v3.client, v3.version, v3.token, f"/v3/{PROJECT}")
    bare, long = await v3.backup(backup_id), await with_project.backup(backup_id)
    assert bare["links"][0]["href"].endswith(f"/v3/backups/{backup_id}")
    assert long["links"][0]["href"].endswith(f"/v3/{PROJECT}/backups/{backup_id}")
    assert long["links"][1]["href"].endswith(f"/{PROJECT}/backups/{backup_id}")
    assert "/v3" not in long["links"][1]["href"]
    assert {**bare, "links": None} == {**long, "links": None}


async def test_another_project_in_the_url_than_that_of_the_token_is_malformed(v3: V3) -> None:
    other = V3(v3.world, v3.client, v3.version, v3.token, "/v3/other")
    assert await other.refused("/backups", None, method="GET") == (400, "Malformed request url")


async def test_the_checks_of_a_new_backup_come_in_the_order_of_cinder(v3: V3) -> None:
    assert await v3.refused("/backups", wanted(MISSING)) == (404, f"Volume {MISSING} could not be found.")
    volume_id = await v3.add_volume()
    status, message = await v3.refused("/backups", wanted(volume_id, snapshot_id=MISSING))
    assert (status, message) == (404, f"Snapshot {MISSING} could not be found.")
    status, message = await v3.refused("/backups", wanted(volume_id, incremental=True))
    assert message == "Invalid backup: No backups available to do an incremental backup."
    await v3.post(f"/volumes/{volume_id}/action", ATTACH)
    status, message = await v3.refused("/backups", wanted(volume_id, incremental=True))
    assert (status, message) == (400, "Invalid volume: Backing up an in-use volume must use the force flag.")
    await v3.start_backup(volume_id, force=True)
    assert (await v3.refused("/backups", wanted(volume_id, force="yes")))[1] == (
        'Invalid volume: Volume to be backed up must be available or in-use, but the current status is "backing-up".'
    )


async def test_an_incremental_backup_names_its_parent_which_can_be_deleted_all_the_same(v3: V3) -> None:
    volume_id = await v3.add_volume()
    parent = await v3.add_backup(volume_id)
    child = await v3.start_backup(volume_id, incremental=True)
    assert (await v3.backup(child))["is_incremental"] is True
    assert (await v3.backup(parent))["has_dependent_backups"] is False
    await v3.work()
    assert (await v3.backup(parent))["has_dependent_backups"] is True
    assert (await v3.ask("DELETE", f"/backups/{parent}")).status == 202
    assert (await v3.backup(parent))["status"] == "deleting"
    await v3.work()
    assert (await v3.ask("GET", f"/backups/{parent}")).status == 404
    assert (await v3.backup(child))["status"] == "available"


async def test_an_incremental_backup_of_a_grown_volume_is_taken(v3: V3) -> None:
    volume_id = await v3.add_volume()
    await v3.add_backup(volume_id)
    await v3.post(f"/volumes/{volume_id}/action", {"os-extend": {"new_size": 2}})
    child = await v3.add_backup(volume_id, incremental=True)
    assert ((await v3.backup(child))["size"], (await v3.backup(child))["is_incremental"]) == (2, True)


async def test_a_snapshot_is_backed_up_whatever_its_volume_does(v3: V3) -> None:
    volume_id = await v3.add_volume()
    snapshot_id = (await v3.post("/snapshots", {"snapshot": {"volume_id": volume_id}}))["snapshot"]["id"]
    assert "Invalid snapshot" in (await v3.refused("/backups", wanted(volume_id, snapshot_id=snapshot_id)))[1]
    assert (await v3.work()).kind is JobKind.CLONE
    await v3.start_backup(volume_id)
    backup_id = await v3.start_backup(volume_id, snapshot_id=snapshot_id)
    snapshot = (await v3.get(f"/snapshots/{snapshot_id}"))["snapshot"]
    assert snapshot["status"] == "backing-up"
    assert (await v3.backup(backup_id))["data_timestamp"] == snapshot["created_at"]
    other = await v3.add_volume()
    assert "does not match" in (await v3.refused("/backups", wanted(other, snapshot_id=snapshot_id)))[1]


async def test_a_restore_to_a_new_volume_gives_it_name_and_metadata_of_the_old(v3: V3) -> None:
    volume_id = await v3.add_volume(name="source", metadata={"a": "b"})
    backup_id = await v3.add_backup(volume_id)
    started = (await v3.post(f"/backups/{backup_id}/restore", {"restore": {}}))["restore"]
    assert started["volume_name"] == f"restore_backup_{backup_id}"
    assert (await v3.volume(started["volume_id"]))["status"] == "restoring-backup"
    assert (await v3.backup(backup_id))["status"] == "restoring"
    again = await v3.refused(f"/backups/{backup_id}/restore", {"restore": {}})
    assert again == (400, "Invalid backup: Backup status must be available")
    await v3.work()
    restored = await v3.volume(started["volume_id"])
    assert (restored["status"], restored["name"]) == ("available", "source")
    assert restored["metadata"] == {"a": "b", "src_backup_id": backup_id}
    assert (await v3.backup(backup_id))["status"] == "available"


async def test_a_restore_to_a_volume_wants_it_available_and_large_enough(v3: V3) -> None:
    large, small = await v3.add_volume(2), await v3.add_volume(1)
    backup_id = await v3.add_backup(large)
    path = f"/backups/{backup_id}/restore"
    assert await v3.refused(path, {"restore": {"volume_id": small}}) == (
        400,
        "Invalid volume: volume size 1 is too small to restore backup of size 2.",
    )
    assert (await v3.refused(path, {"restore": {"volume_id": MISSING}}))[0] == 404
    await v3.post(f"/volumes/{large}/action", ATTACH)
    assert await v3.refused(path, {"restore": {"volume_id": large}}) == (
        400,
        "Invalid volume: Volume to be restored to must be available",
    )


async def test_a_restore_that_fails_leaves_the_volume_in_error_and_a_message_without_paths(v3: V3) -> None:
    volume_id = await v3.add_volume()
    backup_id = await v3.add_backup(volume_id)
    await v3.post(f"/backups/{backup_id}/restore", {"restore": {"volume_id": volume_id}})
    await v3.fail("destination.full")
    assert (await v3.volume(volume_id))["status"] == "error_restoring"
    assert (await v3.backup(backup_id))["status"] == "available"
    (message,) = (await v3.get("/messages"))["messages"]
    assert (message["resource_uuid"], message["event_id"]) == (backup_id, "VOLUME_VOLUME_BACKUP_014_020")
    assert "no space left" in message["user_message"]
    assert "secret" not in json.dumps(message)
    assert (await v3.ask("DELETE", f"/messages/{message['id']}")).status == 204
    assert (await v3.get("/messages"))["messages"] == []


async def test_a_backup_that_fails_says_why_without_paths(v3: V3) -> None:
    backup_id = await v3.start_backup(await v3.add_volume())
    await v3.fail("source.busy")
    found = await v3.backup(backup_id)
    assert found["status"] == "error"
    assert found["fail_reason"].startswith("Something is writing to the volume.")


async def test_a_backup_is_renamed_and_its_metadata_replaced(v3: V3) -> None:
    backup_id = await v3.add_backup(await v3.add_volume(), metadata={"a": "b"})
    path = f"/backups/{backup_id}"
    body = {"backup": {"name": "other", "metadata": {"c": "d"}}}
    assert (await v3.ask("PUT", path, body)).body["backup"]["name"] == "other"
    assert (await v3.backup(backup_id))["metadata"] == {"c": "d"}
    assert (await v3.ask("PUT", path, {"backup": {}})).status == 200
    assert (await v3.ask("PUT", path, {"backup": None})).status == 400
    assert (await v3.ask("PUT", path, {"backup": {"metadata": None}})).status == 400


async def test_a_status_is_reset_and_back_but_nothing_that_was_never_published_is_available(v3: V3) -> None:
    backup_id = await v3.add_backup(await v3.add_volume())
    path = f"/backups/{backup_id}/action"
    await v3.post(path, {"os-reset_status": {"status": "ERROR"}})
    assert (await v3.backup(backup_id))["status"] == "error"
    await v3.post(path, {"os-reset_status": {"status": "available"}})
    assert (await v3.backup(backup_id))["status"] == "available"
    assert (await v3.refused(path, {"os-reset_status": {"status": "deleting"}}))[0] == 400
    failed = await v3.start_backup(await v3.add_volume())
    await v3.fail("source.busy")
    status, message = await v3.refused(f"/backups/{failed}/action", {"os-reset_status": {"status": "available"}})
    assert (status, "never completed" in message) == (400, True)


async def test_a_backup_that_is_being_made_is_forced_away(v3: V3) -> None:
    queued, running = await v3.start_backup(await v3.add_volume()), await v3.start_backup(await v3.add_volume())
    v3.world.clock.advance(1)
    await v3.post(f"/backups/{queued}/action", {"os-force_delete": None})
    assert (await v3.backup(queued))["status"] == "deleting"
    job = await v3.world.claim_job()  # The other backup: the first one's was cancelled.
    assert job.backup_id == running
    await v3.post(f"/backups/{running}/action", {"os-force_delete": {}})
    assert (await v3.backup(running))["status"] == "deleting"
    await v3.world.catalog.finish_job(job.id, job.fence, *cancelled())
    assert {(await v3.work()).backup_id, (await v3.work()).backup_id} == {queued, running}
    for backup_id in (queued, running):
        assert (await v3.ask("GET", f"/backups/{backup_id}")).status == 404
    assert (await v3.get("/limits"))["limits"]["absolute"]["totalBackupsUsed"] == 0


def cancelled() -> Any:
    return JobState.CANCELLED, Failure("job.cancelled", "cancelled on request"), Progress()


@pytest.mark.parametrize("body", [{}, {"os-none": None}, {"os-reset_status": {}}, {"os-reset_status": "error"}])
async def test_an_action_that_is_none_is_400(v3: V3, body: Any) -> None:
    backup_id = await v3.add_backup(await v3.add_volume())
    assert (await v3.refused(f"/backups/{backup_id}/action", body))[0] == 400


async def test_a_record_is_imported_under_a_new_id_and_again_after_its_deletion(v3: V3) -> None:
    backup_id = await v3.add_backup(await v3.add_volume(), name="nightly", metadata={"a": "b"})
    record = (await v3.get(f"/backups/{backup_id}/export_record"))["backup-record"]
    assert record["backup_service"].startswith("cinder.backup.drivers")
    fields = json.loads(base64.b64decode(record["backup_url"]))
    assert "packs/" not in json.dumps(fields)
    status, message = await v3.refused("/backups/import_record", {"backup-record": record})
    assert (status, message) == (400, "Invalid backup: Backup already exists in database.")
    fields["id"] = new_id = str(uuid4())
    changed = {**record, "backup_url": base64.b64encode(json.dumps(fields).encode()).decode()}
    answer = await v3.ask("POST", "/backups/import_record", {"backup-record": changed})
    assert (answer.status, answer.body["backup"]["id"]) == (201, new_id)
    assert (await v3.work()).request == {"of_backup": backup_id, "target": "local"}
    original, imported = await v3.backup(backup_id), await v3.backup(new_id)
    for name in ("status", "size", "name", "metadata", "volume_id", "data_timestamp", "created_at"):
        assert imported[name] == original[name]
    for one in (new_id, backup_id):
        assert (await v3.ask("DELETE", f"/backups/{one}")).status == 202
        await v3.work()
    await v3.post("/backups/import_record", {"backup-record": record})
    assert (await v3.backup(backup_id))["status"] == "creating"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("project", "other"),
        ("target", "other"),
        ("backup_id", MISSING),
        ("size_bytes", 1),
        ("signature", "00"),
        ("key", "packs/00"),
    ],
)
async def test_a_record_with_another_fact_in_it_is_refused(v3: V3, name: str, value: Any) -> None:
    backup_id = await v3.add_backup(await v3.add_volume())
    record = (await v3.get(f"/backups/{backup_id}/export_record"))["backup-record"]
    fields = json.loads(base64.b64decode(record["backup_url"]))
    fields["id"] = str(uuid4())
    fields["driver_info"][name] = value
    changed = {**record, "backup_url": base64.b64encode(json.dumps(fields).encode()).decode()}
    assert (await v3.refused("/backups/import_record", {"backup-record": changed}))[0] == 400


@pytest.mark.parametrize(
    ("name", "value"),
    [("project_id", "other"), ("volume_id", MISSING), ("size", 2), ("created_at", "2020-01-01T00:00:00+00:00")],
)
async def test_a_record_that_says_something_else_than_what_is_signed_is_refused(v3: V3, name: str, value: Any) -> None:
    backup_id = await v3.add_backup(await v3.add_volume())
    record = (await v3.get(f"/backups/{backup_id}/export_record"))["backup-record"]
    fields = json.loads(base64.b64decode(record["backup_url"])) | {"id": str(uuid4()), name: value}
    changed = {**record, "backup_url": base64.b64encode(json.dumps(fields).encode()).decode()}
    assert (await v3.refused("/backups/import_record", {"backup-record": changed}))[0] == 400


@pytest.mark.parametrize(
    "url",
    [
        "x",
        "eyJhIjoxfQ==",
        "W10=",
        base64.b64encode(b'{"id":"\\ud800","size":1}').decode(),
        base64.b64encode(b'{"display_name":"\\u0000","id":"%s","size":1}' % MISSING.encode()).decode(),
    ],
)
async def test_a_record_that_is_none_is_refused(v3: V3, url: str) -> None:
    body = {"backup-record": {"backup_service": "cinder.backup.drivers.x", "backup_url": url}}
    assert await v3.refused("/backups/import_record", body) == (
        400,
        "Invalid input received: Can't parse backup record.",
    )


async def test_racing_requests_never_exceed_a_quota(tmp_path: Path) -> None:
    async with serve_v3(tmp_path, quotas=QuotasConfig(backups=3, volumes=-1)) as v3:
        volumes = [await v3.add_volume() for _ in range(8)]
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(v3.ask("POST", "/backups", wanted(one))) for one in volumes]
        assert sorted(one.result().status for one in asked) == [202] * 3 + [413] * 5
        refused = next(one.result() for one in asked if one.result().status == 413)
        assert refused.message == "BackupLimitExceeded: Maximum number of backups allowed (3) exceeded"
        assert (refused.headers["Retry-After"], refused.body["overLimit"]["retryAfter"]) == ("0", "0")
        assert (await v3.get("/limits"))["limits"]["absolute"]["totalBackupsUsed"] == 3


async def test_gigabytes_of_backups_are_limited_and_given_back(v3: V3) -> None:
    body = {"quota_set": {"backup_gigabytes": 2}}
    assert (await v3.ask("PUT", f"/os-quota-sets/{PROJECT}", body)).status == 200
    volume_id = await v3.add_volume(2)
    backup_id = await v3.add_backup(volume_id)
    assert (await v3.refused("/backups", wanted(volume_id))) == (
        413,
        (
            "VolumeBackupSizeExceedsAvailableQuota: Requested backup exceeds allowed Backup gigabytes quota. "
            "Requested 2G, quota is 2G and 2G has been consumed."
        ),
    )
    status, message = await v3.refused(f"/os-quota-sets/{PROJECT}", {"quota_set": {"backups": 0}}, method="PUT")
    assert (status, "Current usage is 1 and the requested limit is 0." in message) == (400, True)
    await v3.ask("DELETE", f"/backups/{backup_id}")
    await v3.work()
    await v3.add_backup(volume_id)
    found = (await v3.get(f"/os-quota-sets/{PROJECT}?usage=true"))["quota_set"]
    assert found["backup_gigabytes"] == {"limit": 2, "in_use": 2, "reserved": 0}
    assert (await v3.ask("DELETE", f"/os-quota-sets/{PROJECT}")).status == 200
    assert (await v3.get(f"/os-quota-sets/{PROJECT}"))["quota_set"]["backup_gigabytes"] == -1


async def test_a_page_follows_the_other_until_all_have_been_seen(v3: V3) -> None:
    volume_id = await v3.add_volume()
    made = [await v3.add_backup(volume_id, name=f"b{number}") for number in range(5)]
    path, seen = "/backups?limit=2&with_count=true", []
    while path:
        page = await v3.get(path)
        assert page["count"] == 5
        seen += [one["id"] for one in page["backups"]]
        path = page.get("backups_links", [{"href": ""}])[0]["href"].rpartition("/v3")[2]
    assert seen == made[::-1]
    names = [one["name"] for one in (await v3.get("/backups?sort=name:asc,created_at:desc&offset=1"))["backups"]]
    assert names == ["b1", "b2", "b3", "b4"]
    after = await v3.get(f"/backups?sort=name:asc,created_at:desc&marker={made[2]}")
    assert [one["name"] for one in after["backups"]] == ["b3", "b4"]
    assert [one["name"] for one in (await v3.get("/backups?name=b3"))["backups"]] == ["b3"]
    assert [one["name"] for one in (await v3.get("/backups?name~=3"))["backups"]] == ["b3"]
    assert (await v3.get("/backups?limit=0")) == {"backups": []}
    assert (await v3.get("/backups?status=creating"))["backups"] == []
    assert (await v3.get("/backups/detail?no_column=1"))["backups"] == []


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("limit=x", (400, "limit param must be an integer")),
        ("limit=-1", (400, "limit param must be positive")),
        ("offset=-1", (400, "offset must be >= 0")),
        ("offset=x", (400, "offset must be an integer")),
        ("offset=9999999999", (400, "offset must be <= 2147483647")),
        (f"marker={MISSING}", (404, f"Backup {MISSING} could not be found.")),
        ("sort=created_at:up", (400, "Invalid input received: Unknown sort direction, must be 'desc' or 'asc'.")),
        ("sort=secret", (400, "Invalid input received: Invalid sort key")),
        ("with_count=x", (400, "Value 'x' for 'with_count' is not a boolean.")),
        ("all_tenants=x", (400, "Value 'x' for 'all_tenants' is not a boolean.")),
    ],
)
async def test_a_list_that_is_asked_for_wrongly_is_refused(v3: V3, query: str, expected: tuple[int, str]) -> None:
    assert await v3.refused(f"/backups?{query}", None, method="GET") == expected


async def test_sort_and_sort_key_do_not_go_together(v3: V3) -> None:
    assert (await v3.refused("/backups?sort=id&sort_key=id", None, method="GET"))[0] == 400


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"backup": {}},
        {"backup": {"volume_id": "x"}},
        {"backup": {"volume_id": MISSING, "name": "x" * 256}},
        {"backup": {"volume_id": MISSING, "force": "perhaps"}},
        {"backup": {"volume_id": MISSING, "metadata": {"a": 1}}},
        {"backup": {"volume_id": MISSING, "path": "/etc/passwd"}},
        {"backup": {"volume_id": MISSING, "name": "\ud800"}},
        {"backup": {"volume_id": MISSING}, "other": {}},
    ],
)
async def test_a_body_that_is_no_backup_is_400(v3: V3, body: Any) -> None:
    answer = await v3.ask("POST", "/backups", body)
    assert (answer.status, list(answer.body)) == (400, ["badRequest"])


async def test_a_path_or_method_that_there_is_not_is_404_of_another_form(v3: V3) -> None:
    for method, path in (("GET", "/nothing/at/all/here"), ("PATCH", "/backups"), ("PUT", "/limits")):
        answer = await v3.ask(method, path)
        assert (answer.status, answer.body["title"]) == (404, "Not Found")
        assert "OpenStack-API-Version" not in answer.headers
    answer = await v3.ask("POST", "/backups", None, **{"Content-Type": "text/plain"})
    assert (answer.status, answer.body["badMediaType"]["message"]) == (415, "Unsupported Content-Type")
