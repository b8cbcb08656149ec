"""What goes wrong with a target: told with its key, and the next backup succeeds."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from backupd.jobs.failure import failure_of
from chunker.sources.file import FileSource
from targets.errors import Unavailable
from targets.local import LocalTarget
from targets.memory import MemoryTarget
from targets.wrappers.faults import Effect, Fault, Faults
from tests.support.api import Api
from tests.support.crashes import resumed
from tests.support.daemon import Place
from tests.support.local_files import FailingFiles
from tests.support.rig import Rig, rig
from tests.support.small_file_system import SIZE_BYTES, MountSmall, make_read_only
from tests.support.volumes import random_bytes

MIB = 1024 * 1024
SMALL = random_bytes(MIB)


async def failure(api: Api, job: Any) -> tuple[str, str]:
    ended = await api.ended(job)
    assert ended["state"] == "failed"
    assert (await api.get(f"/v1/backups/{job['backup_id']}"))["state"] == "error"
    return ended["failure"]["code"], ended["failure"]["message"]


async def assert_next_one_succeeds(api: Api, place: Place) -> None:
    assert place.leftovers() == []
    (place.sources / "disk").write_bytes(SMALL)
    backup = await api.back_up("disk")
    assert (await api.restore(backup, place.restores / "disk")).read_bytes() == SMALL


async def test_full_target_is_told_and_nothing_of_the_backup_stays(place: Place, mount_small: MountSmall) -> None:
    mount_small(place.target)
    (place.sources / "disk").write_bytes(random_bytes(SIZE_BYTES + MIB))
    async with resumed(place) as api:
        await api.add_volume(place.sources / "disk")
        code, message = await failure(api, await api.start_backup("disk"))
        assert code == "target.quota_exceeded"
        assert message.startswith("target local: put default/encrypted/packs/")
        assert "no space left" in message
        await assert_next_one_succeeds(api, place)


async def test_read_only_target_is_told(place: Place, mount_small: MountSmall) -> None:
    mount_small(place.target)
    (place.sources / "disk").write_bytes(SMALL)
    async with resumed(place) as api:
        await api.add_volume(place.sources / "disk")
        make_read_only(place.target)
        code, message = await failure(api, await api.start_backup("disk"))
        make_read_only(place.target, is_read_only=False)
        assert code == "target.read_only"
        assert "read-only file system" in message
        await assert_next_one_succeeds(api, place)


async def test_target_that_vanishes_in_the_middle_is_told(place: Place) -> None:
    place.configure(bytes_per_s=12 * MIB)
    (place.sources / "disk").write_bytes(random_bytes(24 * MIB))
    async with resumed(place) as api:
        job = await api.progressed(await api.start_backup(await api.add_volume(place.sources / "disk")))
        place.target.rename(place.root / "away")
        code, message = await failure(api, job)
        assert code == "target.gone"
        assert f"root {place.target} vanished" in message
        (place.root / "away").rename(place.target)
        await assert_next_one_succeeds(api, place)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk"
    path.write_bytes(SMALL)
    return path


async def back_up(rig: Rig, path: Path) -> Any:
    point = FileSource(path).open()
    try:
        return (await rig.back_up(point))[0]
    finally:
        point.close()


def unfinished(target: Path) -> list[str]:
    """Return what is left of objects that were not finished, and remove it, as the next start does."""
    found = list((target / ".tmp").iterdir())
    for path in found:
        path.unlink()
    return [path.name for path in found]


@pytest.mark.parametrize(
    ("number_of_error", "code"),
    [
        (errno.ENOSPC, "target.quota_exceeded"),
        (errno.EDQUOT, "target.quota_exceeded"),
        (errno.EIO, "target.unavailable"),
    ],
)
async def test_disk_that_fails_at_any_system_call_costs_that_backup_only(
    tmp_path: Path, disk: Path, number_of_error: int, code: str
) -> None:
    (tmp_path / "target").mkdir()
    files = FailingFiles()
    target = LocalTarget(tmp_path / "target", files=files)
    failed = 0
    async with rig(target=target) as over:
        for number in range(1, 1000):
            files.fail(number, number_of_error)
            try:
                await back_up(over, disk)
            except Exception as error:  # noqa: BLE001 - what a job of the daemon tells its owner
                assert failure_of(error).code == code  # noqa: PT017 - some succeed
                failed += 1
            has_passed = len(files.calls) < number
            assert not unfinished(tmp_path / "target") or files.calls[number - 1] == "unlink"
            files.fail(None, 0)
            manifest = await back_up(over, disk)
            assert await over.restore(manifest, tmp_path / f"restored-{number}") == SMALL
            if has_passed:
                break
    await target.aclose()
    assert failed > 10


@pytest.mark.parametrize("effect", [Effect.ERROR, Effect.LOST_RESPONSE, Effect.TORN_PUT])
async def test_p1_exact_after_a_target_that_failed_at_any_operation(tmp_path: Path, disk: Path, effect: Effect) -> None:
    inner = MemoryTarget()
    async with rig(target=inner):
        pass
    for number in range(1, 100):
        faulty = Faults(inner, [Fault(effect=effect, at_call=number, error=Unavailable)])
        async with rig(target=inner) as over:
            over.repository = over.repository.through(faulty)
            try:
                await back_up(over, disk)
            except Exception as error:  # noqa: BLE001 - what a job of the daemon tells its owner
                assert "injected fault" in failure_of(error).message  # noqa: PT017 - some succeed
        async with rig(target=inner) as over:
            manifest = await back_up(over, disk)
            assert await over.restore(manifest, tmp_path / f"restored-{number}") == SMALL
        if len(faulty.calls) < number:
            return
    raise AssertionError("operations never end")
