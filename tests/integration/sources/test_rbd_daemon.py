"""P1 exact: images of a real cluster, backed up by the daemon while they change, and restored."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from chunker.extents import Extent
from tests.support.api import CHUNK_SIZE_BYTES
from tests.support.daemon import Daemon, Place, read_for_changes, serving
from tests.support.rbd_images import OBJECT_BYTES, Images
from tests.support.servers.ceph import POOL
from tests.support.volumes import random_bytes

CONTENT = random_bytes(32 * OBJECT_BYTES)
assert CHUNK_SIZE_BYTES == OBJECT_BYTES


@pytest.fixture
async def daemon(images: Images, tmp_path: Path) -> AsyncIterator[Daemon]:
    more = f'[sources.rbd]\npools = ["{POOL}"]\nconf = "{images.ceph.conf}"\n'
    async with serving(Place(tmp_path, more=more)) as daemon:
        yield daemon


async def add(daemon: Daemon, image: str) -> str:
    backup_type = {"name": image, "target": "local", "chunk_size_bytes": CHUNK_SIZE_BYTES}
    await daemon.post("/v1/backup-types", backup_type)
    await daemon.post("/v1/volumes", {"name": image, "source": f"rbd:{POOL}/{image}", "backup_type": image})
    return image


async def restored(daemon: Daemon, backup: Any) -> bytes:
    return (await daemon.restore(backup, daemon.place.restores / backup["id"])).read_bytes()


@pytest.mark.parametrize("is_clone", [False, True])
async def test_p1_exact_increments_of_an_image(daemon: Daemon, images: Images, is_clone: bool) -> None:
    image = images.create(CONTENT)
    image = images.clone(image) if is_clone else image
    volume = await add(daemon, image)
    full = await daemon.back_up(volume)

    images.write(image, 3 * OBJECT_BYTES + 7, b"written")
    images.discard(image, Extent(10 * OBJECT_BYTES, 2 * OBJECT_BYTES))
    changed, after_change = await daemon.back_up(volume, mode="incremental"), images.read(image)
    assert changed["full_read_reason"] is None
    # Of a clone, an object that it had not written before is copied whole from its parent first.
    assert read_for_changes(changed) <= 3 * CHUNK_SIZE_BYTES
    assert changed["statistics"]["new_chunks"] == 1

    images.resize(image, len(CONTENT) // 2)
    images.resize(image, len(CONTENT) + 1000 * 512)
    images.write(image, len(CONTENT), b"behind the old end")
    resized, after_resize = await daemon.back_up(volume, mode="incremental"), images.read(image)
    assert resized["full_read_reason"] is None

    assert await restored(daemon, full) == CONTENT
    assert await restored(daemon, changed) == after_change
    assert await restored(daemon, resized) == after_resize
    assert len([one for one in images.snapshots(image) if one.startswith("backupd.")]) == 1


async def test_without_the_snapshot_of_the_parent_all_is_read_and_the_backup_says_so(
    daemon: Daemon, images: Images
) -> None:
    image = images.create(CONTENT)
    volume = await add(daemon, image)
    await daemon.back_up(volume)
    with images.opened(image) as opened:
        opened.remove_snap(images.snapshots(image)[0])
    images.write(image, 5, b"written")
    backup = await daemon.back_up(volume, mode="incremental")
    assert "no longer has the snapshot of the parent" in backup["full_read_reason"]
    assert backup["statistics"]["read_bytes"] == len(CONTENT)
    assert backup["statistics"]["new_chunks"] == 1
    assert await restored(daemon, backup) == images.read(image)


async def test_a_pool_that_is_not_allowed_is_refused(daemon: Daemon) -> None:
    status, problem = await daemon.ask("/v1/volumes", {"name": "other", "source": "rbd:volumes/image"})
    assert status == 400
    assert problem["detail"] == f'source = "rbd:volumes/image": expected an image of {POOL}'
