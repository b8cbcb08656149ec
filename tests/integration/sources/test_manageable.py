"""NBD exports and RBD images of real servers, found, managed and backed up through the Cinder API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Daemon, Place, serving
from tests.support.rbd_images import OBJECT_BYTES, Images
from tests.support.servers.ceph import POOL
from tests.support.servers.storage_daemon import MakeStorageDaemon, StorageDaemon
from tests.support.volumes import random_bytes

_TYPE = """
[backup_types.standard]
target = "local"
[policy]
default_backup_type = "standard"
"""
MIB = 2**20


@asynccontextmanager
async def allowing(root: Path, section: str) -> AsyncIterator[Daemon]:
    async with serving(Place(root, more=_TYPE + section)) as daemon:
        yield daemon


async def found(daemon: Daemon, scheme: str) -> list[dict[str, Any]]:
    listed = (await daemon.get("/v3/default/os-volume-manage/detail?host=backupd&sort=reference:asc"))[
        "manageable-volumes"
    ]
    return [one for one in listed if one["reference"]["source-name"].startswith(f"{scheme}:")]


async def manage(daemon: Daemon, reference: str) -> Any:
    body = {"volume": {"host": "backupd", "ref": {"source-name": reference}}}
    return (await daemon.post("/v3/default/os-volume-manage", body))["volume"]


@pytest.fixture
def disks(make_storage_daemon: MakeStorageDaemon) -> StorageDaemon:
    return make_storage_daemon(8 * MIB, disks=("a", "b"))


async def test_exports_are_found_managed_and_backed_up(tmp_path: Path, disks: StorageDaemon) -> None:
    async with allowing(tmp_path, f'[sources.nbd]\nsockets = ["{disks.live}"]\n') as daemon:
        places = [one["reference"]["source-name"] for one in await found(daemon, "nbd+unix")]
        assert places == [f"nbd+unix:///{name}?socket={disks.live}" for name in "ab"]
        volume = await manage(daemon, places[0])
        assert volume["size"] == 1  # GiB, rounded up.
        assert [(one["safe_to_manage"], one["cinder_id"]) for one in await found(daemon, "nbd+unix")] == [
            (False, volume["id"]),
            (True, None),
        ]
        assert (await daemon.back_up(volume["id"]))["state"] == "available"


async def test_images_of_a_pool_are_found_managed_and_backed_up(tmp_path: Path, images: Images) -> None:
    image = images.create(random_bytes(4 * OBJECT_BYTES))
    section = f'[sources.rbd]\npools = ["{POOL}", "missing"]\nconf = "{images.ceph.conf}"\n'
    async with allowing(tmp_path, section) as daemon:
        place = f"rbd:{POOL}/{image}"
        assert place in [one["reference"]["source-name"] for one in await found(daemon, "rbd")]
        volume = await manage(daemon, place)
        assert images.snapshots(image) == []  # Looking at it leaves nothing behind.
        managed = {one["reference"]["source-name"]: one["cinder_id"] for one in await found(daemon, "rbd")}
        assert managed[place] == volume["id"]
        assert (await daemon.back_up(volume["id"]))["state"] == "available"
