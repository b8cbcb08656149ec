"""Two processes that know nothing of each other write to one store: two daemons, or the bare writers of two."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backupd.offline import run as offline
from backupd.repository import keyring
from targets.open import open_target
from targets.probe import essentials
from targets.testing import keys
from tests.support.buckets import make_bucket
from tests.support.daemon import Daemon, Place, serving
from tests.support.disk import check_restore
from tests.support.racer import CANNOT_TELL, LOST, WON, body, racing
from tests.support.servers.rgw import Rgw
from tests.support.stores import KINDS, opened, target_section
from tests.support.volumes import random_bytes

pytestmark = pytest.mark.timeout(180)

KIB = 1024
SIZES_BYTES = (10, 64 * KIB, 3 * KIB * KIB)
ROUNDS = 8
WRITERS = ("one", "two")
CONTENTS = {writer: random_bytes(3 * KIB * KIB, seed=seed) for seed, writer in enumerate(WRITERS)}


@pytest.fixture(params=("file", *KINDS, "rgw"))
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
    target = open_target(table["url"], **table["options"])
    try:
        report = await essentials(target, monotonic=time.monotonic)
        with racing(table["url"], table["options"], WRITERS) as racers:
            for number, size_bytes in enumerate(SIZES_BYTES * ROUNDS):
                key = f"raced/{number}"
                results = await asyncio.to_thread(racers.race, key, size_bytes=size_bytes)
                if report.has_conditional_put:
                    assert sorted(results.values()) == [LOST, WON]
                    winner = next(name for name, result in results.items() if result == WON)
                    assert await target.get(key) == body(winner, size_bytes)
                else:
                    assert set(results.values()) == {CANNOT_TELL}
        if not report.has_conditional_put:
            assert await keys(target, "raced/") == []
    finally:
        await target.aclose()


async def test_p1_exact_two_daemons_that_begin_one_repository_at_once_share_it_or_both_refuse(
    section: str, tmp_path: Path
) -> None:
    name, table = target_of(section)
    line = keyring.line(secrets.token_bytes(32)) + "\n"
    places = {writer: _place(tmp_path / writer, section, line) for writer in WRITERS}
    async with serving(places["one"]) as one, serving(places["two"]) as two:
        for daemon, writer in ((one, "one"), (two, "two")):
            (daemon.place.sources / writer).write_bytes(CONTENTS[writer])
            await daemon.add_volume(daemon.place.sources / writer, target=name)
        async with asyncio.TaskGroup() as group:
            jobs = [group.create_task(_backed_up(daemon, writer)) for daemon, writer in ((one, "one"), (two, "two"))]
        if name == "swift":
            assert {job.result()["failure"]["code"] for job in jobs} == {"target.unfit"}
            assert all(
                "single_writer = true if this daemon alone" in job.result()["failure"]["message"] for job in jobs
            )
            return
        ours, theirs = (job.result()["backup_id"] for job in jobs)
        assert [job.result()["state"] for job in jobs] == ["succeeded"] * 2
        await check_restore(one, ours, CONTENTS["one"])
        await check_restore(two, theirs, CONTENTS["two"])
        # One repository holds both, and the key of either daemon opens it.
        options = [
            word for option, value in table["options"].items() for word in ("--option", f"{option}={json.dumps(value)}")
        ]
        key = str(one.place.root / "state" / "master.key")
        for backup, writer in ((ours, "one"), (theirs, "two")):
            path = tmp_path / f"{writer}.img"
            what = ("--from", table["url"], "--key", key, "--backup", backup, "--to", str(path))
            assert await offline(["restore", *what, *options]) == 0
            assert path.read_bytes() == CONTENTS[writer]


def _place(root: Path, section: str, line: str) -> Place:
    """Return where one of the daemons lives, which has this key already."""
    (root / "state").mkdir(parents=True, mode=0o700)
    key = root / "state" / "master.key"
    key.touch(0o600)
    key.write_text(line)
    return Place(root, more=section)


async def _backed_up(daemon: Daemon, volume: str) -> Any:
    return await daemon.ended(await daemon.start_backup(volume))
