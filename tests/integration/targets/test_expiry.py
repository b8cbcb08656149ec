"""A daemon whose token or keys end in the middle of a job."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, Place, serving
from tests.support.disk import CONTENT, PACE_BYTES_PER_S, add_disk, check_restore
from tests.support.logins import LOGINS, Login, logged_in
from tests.support.volumes import random_bytes

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(params=LOGINS)
async def login(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Login]:
    async with logged_in(request.param, request, tmp_path) as login:
        yield login


@pytest.fixture
async def daemon(login: Login, tmp_path: Path) -> AsyncIterator[Daemon]:
    async with serving(Place(tmp_path, more=login.section, bytes_per_s=PACE_BYTES_PER_S)) as daemon:
        yield daemon


async def test_login_that_ends_in_the_middle_of_a_backup_is_renewed(daemon: Daemon, login: Login) -> None:
    job = await daemon.progressed(await daemon.start_backup(await add_disk(daemon, login.name)))
    await login.expire()
    assert (await daemon.get(f"/v1/jobs/{job['id']}"))["state"] == "running"
    await daemon.succeeded(job)
    await check_restore(daemon, job["backup_id"])


async def test_login_that_ends_in_the_middle_of_a_restore_is_renewed(daemon: Daemon, login: Login) -> None:
    backup = await daemon.back_up(await add_disk(daemon, login.name))
    job = await daemon.progressed(await daemon.start_restore(backup, daemon.place.restores / "disk"))
    await login.expire()
    assert (await daemon.get(f"/v1/jobs/{job['id']}"))["state"] == "running"
    await daemon.succeeded(job)
    assert (daemon.place.restores / "disk").read_bytes() == CONTENT


async def test_login_that_is_withdrawn_fails_the_backup_and_lists_nothing_until_it_is_given_back(
    daemon: Daemon, login: Login
) -> None:
    volume = await add_disk(daemon, login.name)
    first = await daemon.back_up(volume)
    (daemon.place.sources / "disk").write_bytes(content := random_bytes(len(CONTENT), seed=3))
    job = await daemon.progressed(await daemon.start_backup(volume))
    await login.withdraw()
    job = await daemon.ended(job)
    assert (job["state"], job["failure"]["code"]) == ("failed", "target.permission_denied")
    assert [one["id"] for one in await daemon.get("/v1/backups") if one["state"] == "available"] == [first["id"]]
    await login.give_back()
    await check_restore(daemon, first["id"])
    await check_restore(daemon, (await daemon.back_up(volume))["id"], content)
