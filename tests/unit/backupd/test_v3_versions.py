from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.v3 import PROJECT, V3, serve_v3


@pytest.fixture
async def v3(tmp_path: Path) -> AsyncIterator[V3]:
    async with serve_v3(tmp_path) as served:
        yield served


async def test_the_versions_are_told_to_anybody(v3: V3) -> None:
    bare = V3(v3.world, v3.client, None, None, "")
    answer = await bare.ask("GET", "/")
    (found,) = answer.body["versions"]
    assert (answer.status, found["min_version"], found["version"]) == (300, "3.0", "3.71")
    assert (await bare.ask("GET", "/v3/")).body == answer.body
    assert found["links"][1]["href"].endswith("/v3/")
    assert (await bare.ask("GET", "/v3")).status == 200  # After the redirection.
    assert (await v3.client.get("/healthcheck")).status == 200


async def test_links_are_as_a_proxy_says_that_it_was_asked(v3: V3) -> None:
    await v3.add_volume()
    bare = V3(v3.world, v3.client, None, None, "")
    for scheme in ("https", "http"):
        headers = {"X-Forwarded-Proto": scheme}
        (found,) = (await bare.ask("GET", "/", **headers)).body["versions"]
        assert found["links"][1]["href"].startswith(f"{scheme}://127.0.0.1:")
        page = (await v3.ask("GET", "/volumes?limit=1", **headers)).body
        for link in (*page["volumes_links"], *page["volumes"][0]["links"]):
            assert link["href"].startswith(f"{scheme}://127.0.0.1:")
    (found,) = (await bare.ask("GET", "/", **{"X-Forwarded-Proto": "javascript"})).body["versions"]
    assert found["links"][1]["href"].startswith("http://")


async def test_the_answer_says_which_version_it_is_of(v3: V3) -> None:
    for version, used in ((None, "3.0"), ("latest", "3.71"), ("3.0", "3.0"), ("3.43", "3.43")):
        answer = await v3.at(version).ask("GET", "/backups")
        assert answer.headers["OpenStack-API-Version"] == f"volume {used}"
        assert answer.headers["Vary"] == "OpenStack-API-Version"
        assert answer.headers["x-openstack-request-id"].startswith("req-")


@pytest.mark.parametrize("version", ["2.0", "3.72", "4.0"])
async def test_a_version_that_is_not_served_is_406_and_echoed(v3: V3, version: str) -> None:
    answer = await v3.at(version).ask("GET", "/backups")
    assert answer.status == 406
    assert answer.body["computeFault"]["message"] == (
        f"Version {version} is not supported by the API. Minimum is 3.0 and maximum is 3.71."
    )
    assert answer.headers["OpenStack-API-Version"] == f"volume {version}"


@pytest.mark.parametrize(
    "header", ["volume 3", "volume 3.x", "volume abc", "volume 3.01", "compute 2.1", "volume 3.1 3.2", "volume"]
)
async def test_a_malformed_version_is_400(v3: V3, header: str) -> None:
    answer = await v3.at(None).ask("GET", "/backups", **{"OpenStack-API-Version": header})
    assert (answer.status, list(answer.body)) == (400, ["badRequest"])


async def test_the_version_is_found_among_those_of_other_services(v3: V3) -> None:
    answer = await v3.at(None).ask("GET", "/backups", **{"OpenStack-API-Version": "compute 2.1, volume 3.9"})
    assert answer.headers["OpenStack-API-Version"] == "volume 3.9"


@pytest.mark.parametrize(
    ("method", "path", "below"),
    [
        ("GET", "/messages", "3.2"),
        ("GET", "/manageable_volumes", "3.7"),
        ("GET", "/manageable_snapshots", "3.7"),
        ("PUT", "/backups/x", "3.8"),
        ("GET", "/volumes/summary", "3.11"),
        ("GET", "/attachments", "3.26"),
        ("GET", "/resource_filters", "3.32"),
        ("POST", "/attachments/x/action", "3.43"),
    ],
)
async def test_what_came_later_is_404_below_it(v3: V3, method: str, path: str, below: str) -> None:
    answer = await v3.at(below).ask(method, path, {"backup": {}, "os-complete": None} if method != "GET" else None)
    assert answer.status == 404
    above = f"3.{int(below[2:]) + 1}"
    again = await v3.at(above).ask(method, path, {"backup": {}, "os-complete": None} if method != "GET" else None)
    assert (again.status == 200) is (method == "GET")
    assert again.body != answer.body


@pytest.mark.parametrize(
    ("field", "since"),
    [("os-backup-project-attr:project_id", 18), ("metadata", 43), ("user_id", 56)],
)
async def test_a_field_of_a_backup_is_there_from_its_version_on(v3: V3, field: str, since: int) -> None:
    backup_id = await v3.add_backup(await v3.add_volume())
    assert field in await v3.at(f"3.{since}").backup(backup_id)
    assert field not in await v3.at(f"3.{since - 1}").backup(backup_id)


@pytest.mark.parametrize(
    ("field", "since"),
    [
        ("group_id", 13),
        ("provider_id", 21),
        ("shared_targets", 48),
        ("service_uuid", 48),
        ("cluster_name", 61),
        ("volume_type_id", 63),
        ("consumes_quota", 65),
    ],
)
async def test_a_field_of_a_volume_is_there_from_its_version_on(v3: V3, field: str, since: int) -> None:
    volume_id = await v3.add_volume()
    assert field in await v3.at(f"3.{since}").volume(volume_id)
    assert field not in await v3.at(f"3.{since - 1}").volume(volume_id)


@pytest.mark.parametrize(("field", "since"), [("group_snapshot_id", 14), ("user_id", 41), ("consumes_quota", 65)])
async def test_a_field_of_a_snapshot_is_there_from_its_version_on(v3: V3, field: str, since: int) -> None:
    body = {"snapshot": {"volume_id": await v3.add_volume()}}
    snapshot_id = (await v3.post("/snapshots", body))["snapshot"]["id"]
    assert field in (await v3.at(f"3.{since}").get(f"/snapshots/{snapshot_id}"))["snapshot"]
    assert field not in (await v3.at(f"3.{since - 1}").get(f"/snapshots/{snapshot_id}"))["snapshot"]


async def test_shared_targets_may_be_null_from_3_69_on(v3: V3) -> None:
    volume_id = await v3.add_volume()
    assert (await v3.at("3.68").volume(volume_id))["shared_targets"] is False
    assert (await v3.at("3.69").volume(volume_id))["shared_targets"] is None


@pytest.mark.parametrize(("field", "value", "since"), [("metadata", {"a": "b"}, 43), ("availability_zone", "nova", 51)])
async def test_a_field_of_a_new_backup_is_taken_from_its_version_on(v3: V3, field: str, value: Any, since: int) -> None:
    volume_id = await v3.add_volume()
    body = {"backup": {"volume_id": volume_id, field: value}}
    status, message = await v3.at(f"3.{since - 1}").refused("/backups", body)
    assert (status, message.startswith("Invalid input for field/attribute backup. Additional")) == (400, True)
    await v3.at(f"3.{since}").post("/backups", body)


async def test_a_volume_of_a_backup_is_made_from_3_47_on(v3: V3) -> None:
    backup_id = await v3.add_backup(await v3.add_volume())
    body = {"volume": {"size": 1, "backup_id": backup_id}}
    assert (await v3.at("3.46").post("/volumes", body))["volume"]["status"] == "available"
    assert (await v3.at("3.47").post("/volumes", body))["volume"]["status"] == "restoring-backup"


async def test_unknown_keys_of_a_new_volume_are_refused_from_3_53_on(v3: V3) -> None:
    body = {"volume": {"size": 1, "'backup_id": "x"}}
    await v3.at("3.52").post("/volumes", body)
    assert (await v3.at("3.53").refused("/volumes", body))[0] == 400


async def test_a_snapshot_of_a_volume_in_use_needs_no_force_from_3_66_on(v3: V3) -> None:
    volume_id = await v3.add_volume()
    await v3.post(f"/volumes/{volume_id}/action", {"os-attach": {"host_name": "h", "mountpoint": "/dev/vdb"}})
    body = {"snapshot": {"volume_id": volume_id}}
    assert (await v3.at("3.65").refused("/snapshots", body))[0] == 400
    await v3.at("3.66").post("/snapshots", body)
    assert (await v3.at("3.66").refused("/snapshots", {"snapshot": {"volume_id": volume_id, "force": False}}))[0] == 400


async def test_metadata_that_others_changed_meanwhile_are_left_alone_from_3_15_on(v3: V3) -> None:
    path = f"/volumes/{await v3.add_volume(metadata={'a': 'b'})}/metadata"
    new, item = {"metadata": {"c": "d"}}, {"meta": {"e": "f"}}
    assert "ETag" not in (await v3.at("3.14").ask("GET", path)).headers
    seen = (await v3.at("3.15").ask("GET", path)).headers["ETag"]
    for one, body in ((path, new), (f"{path}/e", item)):
        answer = await v3.at("3.15").ask("PUT", one, body, **{"If-Match": '"other"'})
        assert (answer.status, (await v3.get(path))["metadata"]) == (412, {"a": "b"})
    assert (await v3.at("3.15").ask("PUT", path, new, **{"If-Match": seen})).body == new
    assert (await v3.at("3.15").ask("PUT", path, new, **{"If-Match": seen})).status == 412
    assert (await v3.at("3.15").ask("PUT", f"{path}/e", item, **{"If-Match": "*"})).status == 200
    assert (await v3.at("3.14").ask("PUT", path, new, **{"If-Match": seen})).body == new


async def test_a_group_that_is_none_is_known_from_3_13_on(v3: V3) -> None:
    await v3.post("/volumes", {"volume": {"size": 1, "group_id": None}})
    body = {"volume": {"size": 1, "group_id": "00000000-0000-0000-0000-000000000001"}}
    await v3.at("3.12").post("/volumes", body)
    assert (await v3.at("3.13").refused("/volumes", body))[0] == 400


async def test_a_name_sorts_backups_from_3_37_on(v3: V3) -> None:
    assert (await v3.at("3.36").refused("/backups?sort=name", None, method="GET"))[0] == 400
    await v3.at("3.37").get("/backups?sort=name")
    await v3.at("3.0").get("/backups?sort=display_name")


async def test_a_count_is_given_from_3_45_on(v3: V3) -> None:
    await v3.add_backup(await v3.add_volume())
    assert (await v3.at("3.45").get("/backups?with_count=true&limit=1"))["count"] == 1
    assert await v3.at("3.44").get("/backups?with_count=true") == {"backups": []}  # A filter by what is no column.


async def test_a_volume_is_forced_away_from_3_23_on(v3: V3) -> None:
    volume_id = await v3.add_volume()
    await v3.post(f"/volumes/{volume_id}/action", {"os-reserve": None})
    assert (await v3.at("3.22").ask("DELETE", f"/volumes/{volume_id}?force=true")).status == 400
    assert (await v3.at("3.23").ask("DELETE", f"/volumes/{volume_id}?force=true")).status == 202


async def test_services_tell_their_cluster_from_3_7_on_and_that_of_volumes_its_backend_from_3_49_on(v3: V3) -> None:
    keys = {}
    for version in ("3.6", "3.7", "3.48", "3.49"):
        backup, volume = (await v3.at(version).get("/os-services"))["services"]
        assert "backend_state" not in backup
        keys[version] = {*volume} & {"cluster", "backend_state"}
    assert keys == {"3.6": set(), "3.7": {"cluster"}, "3.48": {"cluster"}, "3.49": {"cluster", "backend_state"}}


async def test_snapshots_are_found_by_their_metadata_from_3_22_on(v3: V3) -> None:
    await v3.post("/snapshots", {"snapshot": {"volume_id": await v3.add_volume(), "metadata": {"a": "b"}}})
    query = quote("{'a': 'other'}")
    assert len((await v3.at("3.21").get(f"/snapshots?metadata={query}"))["snapshots"]) == 1
    assert (await v3.at("3.22").get(f"/snapshots?metadata={query}"))["snapshots"] == []


async def test_a_name_sorts_snapshots_from_3_30_on(v3: V3) -> None:
    assert (await v3.at("3.29").refused("/snapshots?sort=name", None, method="GET"))[0] == 400
    await v3.at("3.30").get("/snapshots?sort=name")


async def test_a_volume_in_use_is_extended_from_3_42_on(v3: V3) -> None:
    path = f"/volumes/{await v3.add_volume()}/action"
    await v3.post(path, {"os-attach": {"host_name": "h", "mountpoint": "/dev/vdb"}})
    assert (await v3.at("3.41").refused(path, {"os-extend": {"new_size": 2}}))[0] == 400
    await v3.at("3.42").post(path, {"os-extend": {"new_size": 2}})


async def test_the_metadata_of_a_backup_is_replaced_from_3_43_on(v3: V3) -> None:
    path = f"/backups/{await v3.add_backup(await v3.add_volume())}"
    body = {"backup": {"metadata": {"a": "b"}}}
    assert (await v3.at("3.42").refused(path, body, method="PUT"))[0] == 400
    assert (await v3.at("3.43").ask("PUT", path, body)).status == 200


async def test_an_attachment_has_a_mode_from_3_54_on(v3: V3) -> None:
    body = {"attachment": {"volume_uuid": await v3.add_volume(), "mode": "ro"}}
    status, message = await v3.at("3.53").refused("/attachments", body)
    assert (status, "'mode' was unexpected" in message) == (400, True)
    assert (await v3.at("3.54").post("/attachments", body))["attachment"]["attach_mode"] == "ro"


async def test_unknown_keys_of_a_changed_volume_are_refused_from_3_53_on(v3: V3) -> None:
    path, body = f"/volumes/{await v3.add_volume()}", {"volume": {"name": "new", "shoe": 1}}
    assert (await v3.at("3.52").ask("PUT", path, body)).status == 200
    assert (await v3.at("3.53").ask("PUT", path, body)).status == 400


@pytest.mark.parametrize("version", ["3.66", "3.67"])
async def test_the_project_may_be_left_out_of_the_path_below_3_67_too(v3: V3, version: str) -> None:
    """Cinder documents it from there on, and serves it always; the links have it when the request's path does."""
    backup_id = await v3.add_backup(await v3.add_volume())
    for prefix in ("/v3", f"/v3/{PROJECT}"):
        there = V3(v3.world, v3.client, version, v3.token, prefix)
        assert (await there.backup(backup_id))["links"][0]["href"].endswith(f"{prefix}/backups/{backup_id}")
