"""What could be managed, page by page, and who may ask for that and for what else is an operator's."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote

import pytest

from backupd.access import Caller
from backupd.api.identity import Tokens
from tests.support.v3 import GIB, PROJECT, V3, serve_v3

_ROLES = ("admin", "member", "reader")
_IDENTITY = Tokens({role: Caller(role, PROJECT, frozenset({role})) for role in _ROLES})
_LISTS = ("/manageable_volumes", "/manageable_volumes/detail", "/os-volume-manage", "/os-volume-manage/detail")


@pytest.fixture
async def v3(tmp_path: Path) -> AsyncIterator[V3]:
    async with serve_v3(tmp_path, _IDENTITY) as served:
        for name, size_gib in (("a", 2), ("b", 1), ("c", 2), ("d", 3)):
            with (served.world.sources / name).open("wb") as file:
                file.truncate(size_gib * GIB)
        yield served.as_("admin")


async def shown(v3: V3, query: str, path: str = _LISTS[0]) -> str:
    """Return the names of the files on a page."""
    found = (await v3.get(f"{path}?host=backupd&{query}"))["manageable-volumes"]
    return "".join(Path(one["reference"]["source-name"]).name for one in found)


async def test_what_could_be_managed_is_listed_in_pages(v3: V3) -> None:
    marker = quote(json.dumps({"source-name": str(v3.world.sources / "c")}))
    for query, expected in (
        ("", "dcba"),
        ("sort=reference:asc", "abcd"),
        ("sort=size:asc,reference:desc", "bcad"),
        ("sort_key=size&sort_dir=asc&limit=1", "b"),
        ("limit=2", "dc"),
        ("limit=0", ""),
        ("offset=1&limit=2", "cb"),
        (f"marker={marker}", "ba"),
        (f"marker={marker}&limit=1&offset=1", "a"),
        (f"marker={marker}&sort=reference:asc", "d"),
    ):
        for path in _LISTS:
            assert await shown(v3, query, path) == expected, (path, query)


async def test_a_page_that_is_none_is_refused(v3: V3) -> None:
    nowhere = quote(json.dumps({"source-name": "/nowhere"}))
    for query in (
        *("sort=created_at", "sort=size:up", "limit=-1", "limit=x", "offset=-1"),
        *("marker=/a", "marker=1", f"marker={nowhere}"),
    ):
        assert (await v3.refused(f"/manageable_volumes?{query}", None, method="GET"))[0] == 400, query


async def test_what_is_managed_says_by_which_volume(v3: V3) -> None:
    path = str(v3.world.sources / "b")
    body = {"volume": {"host": "backupd", "ref": {"source-name": path}, "name": "mine"}}
    volume = (await v3.post("/manageable_volumes", body))["volume"]
    assert volume["size"] == 1
    found = (await v3.get("/manageable_volumes/detail?sort=size:asc&limit=2"))["manageable-volumes"]
    assert found == [
        {
            "reference": {"source-name": path},
            "size": 1,
            "safe_to_manage": False,
            "reason_not_safe": "already managed",
            "cinder_id": volume["id"],
            "extra_info": None,
        },
        {**found[1], "safe_to_manage": True, "reason_not_safe": None, "cinder_id": None},
    ]
    assert (await v3.refused("/manageable_volumes", body))[0] == 400
    await v3.post(f"/volumes/{volume['id']}/action", {"os-unmanage": {}})
    assert (await v3.get("/manageable_volumes?sort=size:asc"))["manageable-volumes"][0]["safe_to_manage"] is True


async def test_a_reference_that_is_none_is_refused(v3: V3) -> None:
    wrong: list[object] = [1, [], {}, {"source-name": 1}]
    for reference in wrong:
        assert (await v3.refused("/manageable_volumes", {"volume": {"host": "h", "ref": reference}}))[0] == 400


async def test_what_is_an_operators_is_refused_to_a_member(v3: V3) -> None:
    for method, path, rule in (
        ("GET", "/manageable_volumes", "volume_extension:volume_manage"),
        ("GET", "/manageable_snapshots", "snapshot_extension:snapshot_manage"),
        ("POST", "/manageable_snapshots", "snapshot_extension:snapshot_manage"),
        ("GET", "/os-services", "volume_extension:services:index"),
        ("GET", "/scheduler-stats/get_pools", "scheduler_extension:scheduler_stats:get_pools"),
        ("PUT", "/os-quota-class-sets/default", "volume_extension:quotas:update"),
    ):
        status, message = await v3.as_("member").refused(path, None, method=method)
        assert (status, message) == (403, f"Policy doesn't allow {rule} to be performed.")
        assert (await v3.ask(method, path)).status == (200 if method == "GET" else 400), path


async def test_types_and_quotas_are_shown_to_those_whom_the_rules_name(tmp_path: Path) -> None:
    rules = ("volume_extension:types:get", "volume_extension:quotas:show")
    async with serve_v3(tmp_path, _IDENTITY, rules=MappingProxyType(dict.fromkeys(rules, ("member",)))) as v3:
        for path in (
            *("/types", "/types/default", "/types/standard"),
            *("/types/standard/extra_specs", "/types/standard/encryption"),
            *("/os-quota-class-sets/default", f"/os-quota-sets/{PROJECT}/defaults"),
        ):
            assert (await v3.as_("member").ask("GET", path)).status == 200
            assert (await v3.as_("reader").refused(path, None, method="GET"))[0] == 403, path


async def test_where_backups_are_stored_is_shown_to_operators_alone(v3: V3) -> None:
    for path in ("/targets", "/targets/local", "/targets/local/orphans"):
        statuses = [
            (await V3(v3.world, v3.client, None, role, "/v1").ask("GET", path)).status for role in ("member", "reader")
        ]
        assert statuses == [403, 403], path
    for role in _ROLES:
        v1 = V3(v3.world, v3.client, None, role, "/v1")
        assert (await v1.ask("GET", "/capabilities")).status == 200
        assert (await v1.ask("GET", "/targets")).status == (200 if role == "admin" else 403)
