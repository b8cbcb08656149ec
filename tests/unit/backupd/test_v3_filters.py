"""What lists can be filtered by, at the microversion that has it and one below; and what they show together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest

from backupd.access import Caller
from backupd.api.identity import Tokens
from tests.support.v3 import PROJECT, V3, serve_v3

_ROLES = ("admin", "member", "reader")
_NOW = "2026-01-01T00:00:00"


@pytest.fixture
async def v3(tmp_path: Path) -> AsyncIterator[V3]:
    identity = Tokens({role: Caller(role, PROJECT, frozenset({role})) for role in _ROLES})
    async with serve_v3(tmp_path, identity) as served:
        yield served.as_("member")


async def names(v3: V3, query: str, kind: str = "volumes") -> list[str]:
    return [one["name"] for one in (await v3.get(f"/{kind}?sort=created_at:asc&{query}"))[kind]]


async def add_volumes(v3: V3) -> None:
    await v3.add_volume(1, name="old", metadata={"tier": "gold", "room": "1"})
    v3.world.clock.advance(3600)
    await v3.add_volume(2, name="new", metadata={"tier": "silver"})


async def test_volumes_are_found_by_when_they_were_made_from_3_60_on(v3: V3) -> None:
    await add_volumes(v3)
    made_at = (await v3.get("/volumes/detail?sort=created_at:asc"))["volumes"][0]["created_at"]
    for query, expected in (
        (f"gt:{made_at}", ["new"]),
        (f"gte:{made_at}", ["old", "new"]),
        (f"lt:{made_at}", []),
        (f"lte:{made_at}", ["old"]),
        (f"neq:{made_at}", ["new"]),
        (made_at, ["old"]),
        (f"gte:{made_at},lt:{made_at}", []),
    ):
        assert await names(v3.at("3.60"), f"created_at={query}") == expected, query
    assert await names(v3, f"updated_at=gt:{made_at}") == []
    below = await v3.at("3.59").ask("GET", f"/volumes?created_at=gt:{made_at}")
    assert (below.status, below.message.startswith("Invalid filters created_at")) == (400, True)
    for wrong in ("gt:", "since:2020-01-01", "yesterday", "gt:2020-01-01T00:00:00+99:00"):
        assert (await v3.refused(f"/volumes?created_at={quote(wrong)}", None, method="GET"))[0] == 400


async def test_volumes_are_found_by_their_metadata(v3: V3) -> None:
    await add_volumes(v3)
    for metadata, expected in (
        ({"tier": "gold"}, ["old"]),
        ({"tier": "gold", "room": "2"}, []),
        ({"tier": "gold", "room": "1"}, ["old"]),
        ({"nothing": "x"}, []),
    ):
        assert await names(v3, f"metadata={quote(str(metadata))}") == expected
    for wrong in ("tier", "[1]", "{'a\"': 'b'}", "{" * 500):
        assert (await v3.refused(f"/volumes?metadata={quote(wrong)}", None, method="GET"))[0] == 400


async def test_what_all_volumes_have_in_common_filters_all_or_nothing(v3: V3) -> None:
    await add_volumes(v3)
    assert await names(v3, "availability_zone=nova") == ["old", "new"]
    assert await names(v3, "migration_status=none") == ["old", "new"]
    for caller in (v3, v3.as_("admin")):
        assert await names(caller, "availability_zone=mars") == []
        assert await names(caller, "migration_status=success") == []


async def test_an_administrator_finds_volumes_and_backups_by_their_size(v3: V3) -> None:
    await add_volumes(v3)
    admin = v3.as_("admin")
    assert await names(admin, "size=2") == ["new"]
    await v3.add_backup((await v3.get("/volumes?name=new"))["volumes"][0]["id"], name="large")
    assert await names(admin, "size=2", "backups") == ["large"]
    assert await names(admin, "size=1", "backups") == []


async def test_a_part_of_a_name_finds_for_administrators_from_3_34_on(v3: V3) -> None:
    volume_id = await v3.add_volume()
    for name in ("a_b", "axb", "100%"):
        await v3.add_backup(volume_id, name=name)
    admin = v3.as_("admin")
    assert await names(admin.at("3.34"), "name~=x", "backups") == ["axb"]
    assert await names(admin, "name~=_", "backups") == ["a_b"]
    assert await names(admin, "name~=%25", "backups") == ["100%"]
    assert await names(admin.at("3.33"), "name~=x", "backups") == []
    assert (await v3.refused("/backups?name~=x", None, method="GET"))[0] == 400


@pytest.mark.parametrize(
    ("value", "below", "since"),
    [
        ("true", ["boots"], ["boots"]),
        ("True", ["boots"], ["boots"]),
        ("1", ["boots"], ["boots"]),
        ("FALSE", ["data"], ["data"]),
        ("0", ["boots"], ["data"]),
        ("f", ["boots"], ["data"]),
        ("x", ["boots"], None),
    ],
)
async def test_what_boots_is_found_by_any_form_of_yes_and_no_from_3_2_on(
    v3: V3, value: str, below: list[str], since: list[str] | None
) -> None:
    volume_id = await v3.add_volume(name="boots")
    await v3.post(f"/volumes/{volume_id}/action", {"os-set_bootable": {"bootable": True}})
    await v3.add_volume(name="data")
    assert await names(v3.at("3.1"), f"bootable={value}") == below
    if since is None:
        refused = await v3.at("3.2").refused(f"/volumes?bootable={value}", None, method="GET")
        assert refused == (400, "Invalid input received: 'bootable = x'")
    else:
        assert await names(v3.at("3.2"), f"bootable={value}") == since


async def test_an_unknown_filter_is_refused_from_3_31_on(v3: V3) -> None:
    assert (await v3.at("3.31").refused("/backups?size=1", None, method="GET"))[0] == 400
    assert (await v3.at("3.30").get("/backups?size=1")) == {"backups": []}
    assert (await v3.as_("admin").get("/backups?shoe=1")) == {"backups": []}


async def test_messages_come_in_pages_from_3_5_on(v3: V3) -> None:
    volume_id = await v3.add_volume()
    for _ in range(3):
        await v3.start_backup(volume_id)
        await v3.fail("source.busy")
    seen, path = [], "/messages?limit=2&sort=created_at:asc"
    while path:
        page = await v3.at("3.5").get(path)
        seen += [one["id"] for one in page["messages"]]
        link = page.get("messages_links", [{"href": ""}])[0]["href"]
        path = link.partition("/v3")[2]
    everything = [one["id"] for one in (await v3.get("/messages"))["messages"]]
    assert len(everything) == 3
    assert seen == everything[::-1]
    assert len((await v3.at("3.4").get("/messages?limit=2"))["messages"]) == 3
    assert (await v3.get("/messages?resource_type=VOLUME"))["messages"] == []
    assert (await v3.refused("/messages?sort=text", None, method="GET"))[0] == 400


async def test_the_summary_counts_volumes_and_shows_their_metadata_from_3_36_on(v3: V3) -> None:
    await add_volumes(v3)
    expected = {"total_count": 2, "total_size": 3}
    assert (await v3.at("3.35").get("/volumes/summary"))["volume-summary"] == expected
    metadata = {"tier": ["gold", "silver"], "room": ["1"]}
    assert (await v3.at("3.36").get("/volumes/summary"))["volume-summary"] == expected | {"metadata": metadata}


async def test_what_can_be_filtered_by_is_what_is_told(v3: V3) -> None:
    moments = {"created_at": f"gt:{_NOW}", "updated_at": f"gt:{_NOW}"}
    values = {"metadata": "{}", "status": "error", "bootable": "true", "size": "1", **moments}
    for one in (await v3.get("/resource_filters"))["resource_filters"]:
        for name in one["filters"]:
            await v3.get(f"/{one['resource']}s?{name}={quote(values.get(name, 'x'))}")


async def test_attachments_are_found_by_their_volume_and_come_in_pages(v3: V3) -> None:
    made = []
    for _ in range(3):
        volume_id = await v3.add_volume()
        made.append((await v3.post("/attachments", {"attachment": {"volume_uuid": volume_id}}))["attachment"])
        v3.world.clock.advance(1)
    found = (await v3.get(f"/attachments?volume_id={made[1]['volume_id']}"))["attachments"]
    assert [one["id"] for one in found] == [made[1]["id"]]
    page = await v3.get("/attachments?limit=2")
    assert [one["id"] for one in page["attachments"]] == [made[2]["id"], made[1]["id"]]
    rest = await v3.get(page["attachments_links"][0]["href"].partition("/v3")[2])
    assert [one["id"] for one in rest["attachments"]] == [made[0]["id"]]
    assert (await v3.get("/attachments?status=attached"))["attachments"] == []
