"""Every backup command of ``cinder`` and ``openstack`` against a running daemon; bytes are compared after restores."""

from __future__ import annotations

import base64
import json
import random
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from backupd.clock import SystemClock
from tests.support.clients import Cli, cinder, openstack
from tests.support.daemon import Daemon, Place, serving

pytestmark = pytest.mark.timeout(170)

_MORE = """
[backup_types.standard]
target = "local"
[policy]
default_backup_type = "standard"
[block_storage]
volumes_dir = "{root}/volumes"
"""
_POLL_INTERVAL_S = 0.05


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    async with serving(Place(tmp_path, more=_MORE)) as daemon:
        yield daemon


async def settled(daemon: Daemon, project: str) -> None:
    """Return when nothing of the project is under way any more."""
    clock = SystemClock()
    for kind in ("backups", "volumes", "snapshots"):
        while True:
            found = (await daemon.get(f"/v3/{project}/{kind}/detail"))[kind]
            if all(one["status"] in ("available", "error", "in-use") for one in found):
                break
            await clock.sleep(_POLL_INTERVAL_S)


def content(daemon: Daemon, volume_id: str) -> bytes:
    """Return the data of a volume: its first bytes, behind which there are none."""
    with (daemon.place.root / "volumes" / f"volume-{volume_id}").open("rb") as file:
        return file.read(4 * 2**20)


def write(daemon: Daemon, volume_id: str, seed: int, *, offset: int = 0) -> None:
    """Write a MiB of noise into a volume."""
    with (daemon.place.root / "volumes" / f"volume-{volume_id}").open("r+b") as file:
        file.seek(offset)
        file.write(random.Random(seed).randbytes(2**20))


async def test_every_backup_command_of_cinder(daemon: Daemon, clients: Path) -> None:
    cli = cinder(clients, daemon.url, "web")
    volume = (await cli.fields("create", "1", "--name", "vol"))["id"]
    write(daemon, volume, 1)
    await cli.do("backup-create", "vol", "--name", "full", "--metadata", "a=b", "--description", "first")
    await settled(daemon, "web")
    first = content(daemon, volume)
    write(daemon, volume, 2, offset=2**20)
    await cli.do("backup-create", volume, "--name", "incremental", "--incremental", "--container", "c")
    await settled(daemon, "web")
    second = content(daemon, volume)
    assert (await cli.fields("backup-show", "incremental"))["is_incremental"] == "True"

    await in_use(cli, daemon, volume)
    await snapshots(cli, daemon, volume)
    names = {row[3] for row in await cli.table("backup-list", "--volume-id", volume, "--status", "available")}
    assert names == {"full", "incremental", "forced", "of-snapshot"}
    assert len(await cli.table("backup-list", "--limit", "2", "--sort", "created_at:asc")) == 2
    full = (await cli.fields("backup-show", "full"))["id"]
    after = await cli.table("backup-list", "--sort", "created_at:asc", "--marker", full, "--all-tenants", "1")
    assert [row[3] for row in after] == ["incremental", "forced", "of-snapshot"]

    await cli.do("backup-update", "full", "--name", "whole", "--description", "other")
    restored = await cli.fields("backup-restore", "whole", "--name", "new")
    await settled(daemon, "web")
    assert content(daemon, restored["volume_id"]) == first
    await cli.do("backup-restore", "incremental", "--volume", restored["volume_id"])
    await settled(daemon, "web")
    assert content(daemon, restored["volume_id"]) == second
    made = await cli.fields("create", "--backup-id", full, "--name", "made")
    await settled(daemon, "web")
    assert content(daemon, made["id"]) == first

    await cli.do("backup-reset-state", "--state", "error", "whole")
    assert (await cli.fields("backup-show", "whole"))["status"] == "error"
    await cli.do("backup-reset-state", "--state", "available", "whole")
    await records(cli, daemon, full, first)
    await cli.do("backup-delete", "whole")  # Though others were made on top of it.
    await cli.do("backup-delete", "--force", "forced")
    await settled(daemon, "web")
    restored = await cli.fields("backup-restore", "incremental")
    await settled(daemon, "web")
    assert content(daemon, restored["volume_id"]) == second


async def in_use(cli: Cli, daemon: Daemon, volume: str) -> None:
    """A volume in use is backed up by force only."""
    attach = {"os-attach": {"host_name": "h", "mountpoint": "/dev/vdb"}}
    await daemon.post(f"/v3/web/volumes/{volume}/action", attach)
    code, printed = await cli.ask("backup-create", volume, "--name", "refused")
    assert code == 1
    assert "must use the force flag" in printed
    await cli.do("backup-create", volume, "--name", "forced", "--force")
    await settled(daemon, "web")
    await daemon.post(f"/v3/web/volumes/{volume}/action", {"os-detach": {}})


async def snapshots(cli: Cli, daemon: Daemon, volume: str) -> None:
    """A snapshot is backed up, also incrementally."""
    snapshot = (await cli.fields("snapshot-create", volume, "--name", "snap"))["id"]
    await settled(daemon, "web")
    arguments = ("--snapshot-id", snapshot, "--incremental", "--name", "of-snapshot")
    await cli.do("backup-create", volume, *arguments)
    await settled(daemon, "web")
    assert (await cli.fields("backup-show", "of-snapshot"))["snapshot_id"] == snapshot


async def records(cli: Cli, daemon: Daemon, backup: str, expected: bytes) -> None:
    """A record is imported under another id; what it is of is restored, then both are deleted."""
    record = await cli.fields("backup-export", backup)
    fields: dict[str, Any] = json.loads(base64.b64decode(record["backup_url"]))
    fields["id"] = str(uuid.uuid4())
    url = base64.b64encode(json.dumps(fields).encode()).decode()
    imported = (await cli.fields("backup-import", record["backup_service"], url))["id"]
    await settled(daemon, "web")
    restored = await cli.fields("backup-restore", imported)
    await settled(daemon, "web")
    assert content(daemon, restored["volume_id"]) == expected
    await cli.do("backup-delete", imported)
    await settled(daemon, "web")


async def test_every_backup_command_of_openstack(daemon: Daemon, clients: Path) -> None:
    cli = openstack(clients, daemon.url, "web")
    volume = (await cli.json("volume", "create", "--size", "1", "vol"))["id"]
    write(daemon, volume, 1)
    latest = ("--os-volume-api-version", "3.71")
    backup = ("volume", "backup")
    await cli.do(*latest, *backup, "create", "--name", "full", "--property", "a=b", volume)
    await settled(daemon, "web")
    first = content(daemon, volume)
    write(daemon, volume, 2, offset=2**20)
    await cli.do(*backup, "create", "--name", "incremental", "--incremental", "--force", "vol")
    await settled(daemon, "web")
    second = content(daemon, volume)
    assert (await cli.json(*backup, "show", "incremental"))["is_incremental"] is True
    snapshot = (await cli.json("volume", "snapshot", "create", "--volume", volume, "snap"))["id"]
    await settled(daemon, "web")
    await cli.do(*backup, "create", "--name", "of-snapshot", "--snapshot", snapshot, volume)
    await settled(daemon, "web")
    listed = await cli.json(*backup, "list", "--long", "--all-projects", "--status", "available", "--volume", volume)
    assert [one["Name"] for one in listed] == ["of-snapshot", "incremental", "full"]
    marker = ("--limit", "1", "--marker", listed[0]["ID"])
    # The client goes on to the next page by itself.
    assert [one["Name"] for one in await cli.json(*backup, "list", *marker)] == ["incremental", "full"]

    await cli.do(*backup, "set", "--name", "whole", "--state", "error", "full")
    assert (await cli.json(*backup, "show", "whole"))["status"] == "error"
    await cli.do(*backup, "set", "--state", "available", "whole")
    await cli.do(*latest, *backup, "set", "--property", "c=d", "whole")
    assert (await cli.json(*latest, *backup, "show", "whole"))["metadata"]["c"] == "d"

    restored = (await cli.json(*backup, "restore", "whole", "new"))["volume_id"]
    await settled(daemon, "web")
    assert content(daemon, restored) == first
    await cli.do(*backup, "restore", "--force", "incremental", restored)
    await settled(daemon, "web")
    assert content(daemon, restored) == second
    full = listed[2]["ID"]
    made = (await cli.json("volume", "create", "--size", "1", "--backup", full, "made"))["id"]
    await settled(daemon, "web")
    assert content(daemon, made) == first

    record = await cli.json(*backup, "record", "export", "whole")
    assert "cinder.backup.drivers" in json.dumps(record)
    await cli.do(*backup, "delete", "whole")
    await cli.do(*backup, "delete", "--force", "of-snapshot")
    await settled(daemon, "web")
    assert [one["Name"] for one in await cli.json(*backup, "list")] == ["incremental"]


async def test_what_this_openstack_does_wrong_fails_and_changes_nothing(daemon: Daemon, clients: Path) -> None:
    """It asks for paths that no Cinder has; when a newer one does right, docs/cinder.md is to be changed."""
    cli = openstack(clients, daemon.url, "web")
    latest, backup = ("--os-volume-api-version", "3.71"), ("volume", "backup")
    volume = (await cli.json("volume", "create", "--size", "1", "vol"))["id"]
    write(daemon, volume, 1)
    await cli.do(*latest, *backup, "create", "--name", "full", "--property", "a=b", "--property", "c=d", volume)
    await settled(daemon, "web")
    before = await cli.json(*latest, *backup, "show", "full")
    assert before["metadata"] == {"a": "b", "c": "d"}

    code, printed = await cli.ask(*latest, *backup, "unset", "--property", "a", "full")
    assert (code, "404" in printed) == (1, True), printed
    record = await cli.json(*backup, "record", "export", "full")
    code, printed = await cli.ask(*backup, "record", "import", record["backup_service"], record["backup_url"])
    assert code == 1, printed
    assert await cli.json(*latest, *backup, "show", "full") == before
    assert len(await cli.json(*backup, "list")) == 1


async def test_the_other_commands_that_cinder_asks_around_backups(daemon: Daemon, clients: Path) -> None:
    cli = cinder(clients, daemon.url, "web")
    await cli.do("create", "1", "--name", "vol")
    for words in (
        "list",
        "type-list",
        "type-default",
        "service-list --binary cinder-backup",
        "availability-zone-list",
        "absolute-limits",
        "rate-limits",
        "quota-show web",
        "quota-usage web",
        "quota-defaults web",
        "quota-update --backups 20 web",
        "list-filters",
        "list-extensions",
        "message-list",
        "manageable-list backupd",
        "transfer-list",
        "qos-list",
        "version-list",
        "attachment-list",
        "metadata vol set a=b",
        "metadata-show vol",
        "extend vol 2",
        "reset-state --state error vol",
        "delete vol",
    ):
        await cli.do(*words.split())
