"""A daemon whose backups go to real stores, and what becomes of its jobs when these fail in the middle."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from backupd.clock import SystemClock
from tests.support.daemon import Daemon, Place, serving
from tests.support.disk import CONTENT, MIB, PACE_BYTES_PER_S, add_disk, check_restore
from tests.support.fault_proxy import Answer, FaultProxy, Mode, Pass, Refuse, ResetAfter, Throttle
from tests.support.servers.ceph import Ceph
from tests.support.servers.process import in_thread
from tests.support.stores import HTTP_KINDS, KINDS, Store, opened
from tests.support.volumes import random_bytes

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with opened(request.param, request, tmp_path) as store:
        yield store


@pytest.fixture(params=HTTP_KINDS)
def http_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with opened(request.param, request, tmp_path) as store:
        yield store


@pytest.fixture
async def daemon(store: Store, tmp_path: Path) -> AsyncIterator[Daemon]:
    async with serving(Place(tmp_path, more=store.section, bytes_per_s=PACE_BYTES_PER_S)) as daemon:
        yield daemon


@pytest.fixture
async def http_daemon(http_store: Store, tmp_path: Path) -> AsyncIterator[Daemon]:
    async with serving(Place(tmp_path, more=http_store.section)) as daemon:
        yield daemon


def proxy_of(store: Store) -> FaultProxy:
    assert store.proxy is not None
    return store.proxy


async def strike(down: Callable[[], None], up: Callable[[], None], *, for_s: float) -> None:
    """Let the server be down for a while."""
    await in_thread(down)
    await SystemClock().sleep(for_s)
    await in_thread(up)


async def test_p1_exact_full_and_incremental_and_nothing_stays_open(daemon: Daemon, store: Store) -> None:
    volume = await add_disk(daemon, store.name)
    first = await daemon.back_up(volume)
    changed = random_bytes(MIB, seed=2) + CONTENT[MIB:]
    (daemon.place.sources / "disk").write_bytes(changed)
    second = await daemon.back_up(
        volume, parent=first["id"], changed_extents=[{"offset_bytes": 0, "length_bytes": MIB}]
    )
    assert second["statistics"]["new_bytes"] == MIB
    assert (await daemon.verify(second))["state"] == "succeeded"
    await check_restore(daemon, first["id"])
    descriptors = daemon.descriptors()
    await check_restore(daemon, second["id"], changed)
    assert len(daemon.descriptors()) <= len(descriptors)
    await daemon.delete(first)
    assert (await daemon.verify(second))["state"] == "succeeded"


async def test_a_server_killed_in_the_middle_of_a_backup_costs_time_only(daemon: Daemon, store: Store) -> None:
    job = await daemon.progressed(await daemon.start_backup(await add_disk(daemon, store.name)))
    await strike(store.kill, store.start, for_s=1)
    await daemon.succeeded(job)
    await check_restore(daemon, job["backup_id"])


async def test_a_server_killed_in_the_middle_of_a_restore_costs_time_only_and_leaves_nothing_open(
    daemon: Daemon, store: Store
) -> None:
    backup = await daemon.back_up(await add_disk(daemon, store.name))
    await check_restore(daemon, backup["id"])
    descriptors = daemon.descriptors()
    job = await daemon.progressed(await daemon.start_restore(backup, daemon.place.restores / "disk"))
    await strike(store.kill, store.start, for_s=1)
    await daemon.succeeded(job)
    assert (daemon.place.restores / "disk").read_bytes() == CONTENT
    assert len(daemon.descriptors()) <= len(descriptors)


async def test_a_server_that_hangs_longer_than_a_request_may_take_costs_time_only(daemon: Daemon, store: Store) -> None:
    job = await daemon.progressed(await daemon.start_backup(await add_disk(daemon, store.name)))
    await strike(store.pause, store.resume, for_s=6)
    await daemon.succeeded(job)
    await check_restore(daemon, job["backup_id"])


@pytest.mark.parametrize(
    "mode",
    [
        ResetAfter(upstream_bytes=MIB, connections=3),
        Answer(status=503, share=0.5, seed=1, requests=12),
        Throttle(6 * MIB),
    ],
    ids=["reset", "storm", "slow"],
)
async def test_what_networks_and_gateways_do_to_a_backup_costs_time_only(
    http_daemon: Daemon, http_store: Store, mode: Mode
) -> None:
    volume = await add_disk(http_daemon, http_store.name)
    await http_daemon.back_up(volume)
    content = random_bytes(20 * MIB, seed=4)
    (http_daemon.place.sources / "disk").write_bytes(content)
    proxy_of(http_store).set_mode(mode)
    backup = await http_daemon.back_up(volume)
    proxy_of(http_store).set_mode(Pass())
    await check_restore(http_daemon, backup["id"], content)


@pytest.mark.parametrize(
    "mode",
    [ResetAfter(downstream_bytes=MIB, connections=3), Answer(status=503, share=0.5, seed=2, requests=12)],
    ids=["reset", "storm"],
)
async def test_what_networks_and_gateways_do_to_a_restore_costs_time_only(
    http_daemon: Daemon, http_store: Store, mode: Mode
) -> None:
    backup = await http_daemon.back_up(await add_disk(http_daemon, http_store.name))
    proxy_of(http_store).set_mode(mode)
    await check_restore(http_daemon, backup["id"])


async def test_a_store_that_is_full_fails_the_backup_and_says_so(http_daemon: Daemon, http_store: Store) -> None:
    disk = http_daemon.place.sources / "disk"
    volume = await add_disk(http_daemon, http_store.name)
    first = await http_daemon.back_up(volume)
    disk.write_bytes(random_bytes(20 * MIB, seed=3))
    proxy_of(http_store).set_mode(Answer(status=507, matches=lambda method, _: method in ("PUT", "POST")))
    job = await http_daemon.ended(await http_daemon.start_backup(volume))
    assert (job["state"], job["failure"]["code"]) == ("failed", "target.quota_exceeded")
    proxy_of(http_store).set_mode(Pass())
    assert (await http_daemon.get(f"/v1/backups/{job['backup_id']}"))["state"] == "error"
    await check_restore(http_daemon, first["id"])
    second = await http_daemon.back_up(volume)
    await check_restore(http_daemon, second["id"], disk.read_bytes())


async def test_a_store_that_stays_away_fails_the_backup_and_lists_nothing(http_store: Store, tmp_path: Path) -> None:
    place = Place(tmp_path, more=http_store.section.replace("retries_max = 14", "retries_max = 1"))
    async with serving(place) as daemon:
        volume = await add_disk(daemon, http_store.name)
        first = await daemon.back_up(volume)
        (place.sources / "disk").write_bytes(random_bytes(20 * MIB, seed=3))
        proxy_of(http_store).set_mode(Refuse())
        proxy_of(http_store).cut()
        job = await daemon.ended(await daemon.start_backup(volume))
        assert (job["state"], job["failure"]["code"]) == ("failed", "target.unavailable")
        proxy_of(http_store).set_mode(Pass())
        available = [one["id"] for one in await daemon.get("/v1/backups") if one["state"] == "available"]
        assert available == [first["id"]]
        await check_restore(daemon, first["id"])


async def test_a_full_cluster_fails_the_backup_at_once_and_lets_backups_be_deleted(
    request: pytest.FixtureRequest, ceph: Ceph, tmp_path: Path
) -> None:
    with opened("rados", request, tmp_path) as store:
        async with serving(Place(tmp_path, more=store.section)) as daemon:
            volume = await add_disk(daemon, store.name)
            backup = await daemon.back_up(volume)
            (daemon.place.sources / "disk").write_bytes(random_bytes(20 * MIB, seed=3))
            await in_thread(ceph.fill)
            try:
                job = await daemon.ended(await daemon.start_backup(volume))
                await daemon.delete(backup)
            finally:
                await in_thread(ceph.unfill)
            assert job["failure"]["code"] == "target.quota_exceeded"


@pytest.mark.parametrize("kinds", [("s3", "swift"), ("swift", "rados"), ("rados", "gcs"), ("gcs", "s3")])
async def test_p1_exact_from_a_repository_copied_to_a_store_of_another_kind(
    request: pytest.FixtureRequest, tmp_path: Path, kinds: tuple[str, str]
) -> None:
    with ExitStack() as stack:
        source, target = (stack.enter_context(opened(kind, request, tmp_path)) for kind in kinds)
        async with serving(Place(tmp_path, more=source.section + target.section)) as daemon:
            backup = await daemon.back_up(await add_disk(daemon, source.name))
            answer = await daemon.post("/v1/replications", {"source": source.name, "target": target.name})
            await daemon.succeeded(answer["job"])
            await check_restore(daemon, backup["id"], target=target.name)
            await check_restore(daemon, backup["id"], target=source.name)


async def test_p1_exact_from_either_of_two_stores_written_at_once(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        first, second = (stack.enter_context(opened(kind, request, tmp_path)) for kind in ("s3", "rados"))
        async with serving(Place(tmp_path, more=first.section + second.section)) as daemon:
            backup = await daemon.back_up(await add_disk(daemon, first.name, copies=[second.name], quorum=2))
            for target in (first.name, second.name):
                await check_restore(daemon, backup["id"], target=target)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_probe_finds_a_real_store_fit(request: pytest.FixtureRequest, tmp_path: Path, kind: str) -> None:
    with opened(kind, request, tmp_path) as store:
        async with serving(Place(tmp_path, more=store.section)) as daemon:
            answer = await daemon.post(f"/v1/targets/{store.name}/probe", {"quick": True})
            await daemon.succeeded(answer["job"])
            probe = (await daemon.get(f"/v1/targets/{store.name}"))["probe"]
            assert probe["unfit_because"] == []
