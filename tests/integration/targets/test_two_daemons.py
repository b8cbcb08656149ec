"""Two processes that know nothing of each other write to one store: two daemons, or the bare writers of two."""

from __future__ import annotations

import asyncio
import json
import secrets
import tomllib
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from backupd.clock import SystemClock
from backupd.offline import run as offline
from backupd.repository import keyring
from targets.open import open_target
from targets.probe import essentials
from targets.testing import keys
from tests.support.buckets import make_bucket
from tests.support.daemon import Daemon, Place, serving
from tests.support.disk import check_restore
from tests.support.racer import CANNOT_TELL, LOST, WON, body, racing
from tests.support.servers.process import in_thread
from tests.support.servers.rgw import Rgw
from tests.support.stores import opened, target_section
from tests.support.volumes import random_bytes

pytestmark = pytest.mark.timeout(180)

KIB = 1024
SIZES_BYTES = (10, 64 * KIB, 3 * KIB * KIB)
ROUNDS = 8
TELLING = ("file", "s3", "rgw", "rados", "gcs")  # Which of two writers was first.
WRITERS = ("one", "two")
CONTENTS = {writer: random_bytes(3 * KIB * KIB, seed=seed) for seed, writer in enumerate(WRITERS)}


@pytest.fixture(params=(*TELLING, "swift"))
def section(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The configuration of a target that both use, without a promise that one of them does it alone."""
    if request.param == "file":
        (tmp_path / "shared").mkdir()
        yield target_section("file", f"file://{tmp_path}/shared", {})
    elif request.param == "rgw":
        rgw: Rgw = request.getfixturevalue("rgw")
        bucket = make_bucket(rgw.url, (rgw.access_key, rgw.secret_key), tmp_path)
        options = {"endpoint": rgw.url, "credentials_file": str(bucket.credentials_file), "checksum": "md5"}
        yield target_section("rgw", f"s3://{bucket.name}/backups", options)
    else:
        with opened(request.param, request, tmp_path) as store:
            yield store.section.replace("single_writer = true", "single_writer = false")


def target_of(section: str) -> tuple[str, dict[str, Any]]:
    """Return the name and the table of the target that a configuration has."""
    [(name, table)] = tomllib.loads(section)["targets"].items()
    return name, table


async def test_p5_once_of_two_processes_exactly_one_takes_a_key_or_the_probe_says_that_none_can_tell(
    section: str,
) -> None:
    _, table = target_of(section)
    async with aclosing(open_target(table["url"], **table["options"])) as target:
        report = await essentials(target, monotonic=SystemClock().monotonic)
        with racing(table["url"], table["options"], WRITERS) as racers:
            for number, size_bytes in enumerate(SIZES_BYTES * ROUNDS):
                key = f"raced/{number}"
                results = await in_thread(partial(racers.race, key, size_bytes=size_bytes))
                if report.has_conditional_put:
                    assert sorted(results.values()) == [LOST, WON]
                    winner = next(name for name, result in results.items() if result == WON)
                    assert await target.get(key) == body(winner, size_bytes)
                else:
                    assert set(results.values()) == {CANNOT_TELL}
        if not report.has_conditional_put:
            assert await keys(target, "raced/") == []


@pytest.mark.parametrize("section", TELLING, indirect=True)
async def test_p1_exact_two_daemons_that_begin_one_repository_at_once_share_it(section: str, tmp_path: Path) -> None:
    _, table = target_of(section)
    async with two_daemons(section, tmp_path) as daemons:
        jobs = await _backed_up_at_once(daemons)
        assert [job["state"] for job in jobs] == ["succeeded"] * 2
        for daemon, job, writer in zip(daemons, jobs, WRITERS, strict=True):
            await check_restore(daemon, job["backup_id"], CONTENTS[writer])
        # One repository holds both, and the key of either daemon opens it.
        key = str(daemons[0].place.root / "state" / "master.key")
        options = [f"--option={name}={json.dumps(value)}" for name, value in table["options"].items()]
        for job, writer in zip(jobs, WRITERS, strict=True):
            path = tmp_path / f"{writer}.img"
            what = ("--from", table["url"], "--key", key, "--backup", job["backup_id"], "--to", str(path))
            assert await offline(["restore", *what, *options]) == 0
            assert path.read_bytes() == CONTENTS[writer]


@pytest.mark.parametrize("section", ["swift"], indirect=True)
async def test_p1_exact_neither_of_two_daemons_writes_where_nobody_can_tell_who_was_first(
    section: str, tmp_path: Path
) -> None:
    _, table = target_of(section)
    async with two_daemons(section, tmp_path) as daemons:
        for job in await _backed_up_at_once(daemons):
            assert job["failure"]["code"] == "target.unfit"
            assert "set single_writer = true if this daemon alone writes there" in job["failure"]["message"]
    async with aclosing(open_target(table["url"], **table["options"])) as target:
        assert await keys(target) == []


@asynccontextmanager
async def two_daemons(section: str, directory: Path) -> AsyncIterator[list[Daemon]]:
    """Run two daemons with one key and one target, each with a volume of its own for it."""
    name, _ = target_of(section)
    line = keyring.line(secrets.token_bytes(32)) + "\n"
    one, two = (_place(directory / writer, section, line) for writer in WRITERS)
    async with serving(one) as first, serving(two) as second:
        for daemon, writer in zip((first, second), WRITERS, strict=True):
            path = daemon.place.sources / "disk"
            path.write_bytes(CONTENTS[writer])
            await daemon.add_volume(path, target=name)
        yield [first, second]


async def _backed_up_at_once(daemons: list[Daemon]) -> list[Any]:
    """Return the jobs of a backup by each when they have ended."""
    async with asyncio.TaskGroup() as group:
        started = [group.create_task(daemon.start_backup("disk")) for daemon in daemons]
    return [await daemon.ended(job.result()) for daemon, job in zip(daemons, started, strict=True)]


def _place(root: Path, section: str, line: str) -> Place:
    """Return where one of the daemons lives, which has this key already."""
    (root / "state").mkdir(parents=True, mode=0o700)
    key = root / "state" / "master.key"
    key.touch(0o600)
    key.write_text(line)
    return Place(root, more=section)
