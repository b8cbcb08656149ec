"""Where a restore may write, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Daemon
from tests.support.loop_device import AttachLoop
from tests.support.volumes import half_zero_bytes, random_bytes

MIB = 1024 * 1024
CONTENT = half_zero_bytes(4 * MIB + 512, run_bytes=MIB // 2)


@pytest.fixture
async def backup(daemon: Daemon) -> Any:
    path = daemon.place.sources / "disk"
    path.write_bytes(CONTENT)
    return await daemon.back_up(await daemon.add_volume(path))


async def refusal(daemon: Daemon, backup: Any, path: Path, **request: Any) -> Any:
    body = {"backup": backup["id"], "path": str(path), **request}
    status, problem = await daemon.ask("/v1/restores", body)
    assert status == 400
    return problem["detail"]


@pytest.mark.parametrize("overwrite", [False, True])
async def test_an_existing_file_is_never_overwritten(daemon: Daemon, backup: Any, overwrite: bool) -> None:
    path = daemon.place.restores / "taken"
    path.write_bytes(b"mine")
    assert "does not exist yet" in await refusal(daemon, backup, path, overwrite=overwrite)
    assert path.read_bytes() == b"mine"


async def test_a_file_outside_of_the_configured_directories_is_refused(daemon: Daemon, backup: Any) -> None:
    path = daemon.place.root / "elsewhere"
    assert "paths.restores" in await refusal(daemon, backup, path)
    assert not path.exists()


async def test_a_link_out_of_the_configured_directories_is_refused(daemon: Daemon, backup: Any) -> None:
    (daemon.place.restores / "out").symlink_to(daemon.place.root)
    assert "it leads to" in await refusal(daemon, backup, daemon.place.restores / "out" / "file")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image"
    path.write_bytes(random_bytes(6 * MIB, seed=9))
    return path


async def test_p1_exact_onto_a_larger_device_whose_other_bytes_stay(
    daemon: Daemon, backup: Any, image: Path, attach_loop: AttachLoop
) -> None:
    device = attach_loop(image)
    await daemon.restore(backup, device, overwrite=True)
    assert device.read_bytes() == CONTENT + random_bytes(6 * MIB, seed=9)[len(CONTENT) :]


async def test_a_device_is_only_overwritten_when_that_is_allowed(
    daemon: Daemon, backup: Any, image: Path, attach_loop: AttachLoop
) -> None:
    device = attach_loop(image)
    assert "overwrite" in await refusal(daemon, backup, device)
    assert device.read_bytes() == random_bytes(6 * MIB, seed=9)


async def test_a_smaller_device_is_refused_with_both_sizes(
    daemon: Daemon, backup: Any, image: Path, attach_loop: AttachLoop
) -> None:
    image.write_bytes(bytes(4 * MIB))
    device = attach_loop(image)
    job = await daemon.ended(await daemon.start_restore(backup, device, overwrite=True))
    assert (job["state"], job["failure"]["code"]) == ("failed", "destination.too_small")
    assert f"{device} has {4 * MIB} bytes" in job["failure"]["message"]
    assert str(len(CONTENT)) in job["failure"]["message"]
    assert device.read_bytes() == bytes(4 * MIB)


@pytest.mark.parametrize("direct_io", [False, True])
async def test_p1_exact_device_as_source(daemon: Daemon, image: Path, attach_loop: AttachLoop, direct_io: bool) -> None:
    device = attach_loop(image)
    await daemon.post("/v1/backup-types", {"name": "device", "target": "local"})
    volume = {"name": "loop", "path": str(device), "backup_type": "device", "direct_io": direct_io}
    await daemon.post("/v1/volumes", volume)
    backup = await daemon.back_up("loop")
    restored = await daemon.restore(backup, daemon.place.restores / "loop")
    assert restored.read_bytes() == random_bytes(6 * MIB, seed=9)


async def test_p3_tell_a_lost_pack_is_named_and_leaves_no_file(daemon: Daemon, backup: Any) -> None:
    for pack in daemon.place.target.glob("default/*/packs/*/*"):
        pack.unlink()
    job = await daemon.ended(await daemon.start_restore(backup, daemon.place.restores / "disk"))
    assert (job["state"], job["failure"]["code"]) == ("failed", "repository.corrupt")
    assert "packs/" in job["failure"]["message"]
    assert list(daemon.place.restores.iterdir()) == []
