"""The power goes at any instant: of what was not synced, anything may be missing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from backupd.catalog.store import Catalog
from backupd.clock import SystemClock
from backupd.pipeline.workers import Workers
from targets.errors import ObjectExists
from targets.local import LocalTarget
from targets.local.files import LocalFiles
from targets.memory import MemoryTarget
from tests.support.builders import make_backup_type
from tests.support.crashes import resumed
from tests.support.daemon import Place
from tests.support.power import Disk, RecordedFiles
from tests.support.repositories import open_existing, verify, working
from tests.support.sabotage import replaced
from tests.support.volumes import random_bytes

MIB = 1024 * 1024
SURVIVAL = (0.0, 0.5, 0.5, 1.0)


class Promises:
    """What a target has said: of each key the contents that it may have, the last one first once that is certain."""

    def __init__(self) -> None:
        self._may_be: dict[str, list[bytes | None]] = {}

    def hear(self, note: tuple[str, str, bytes | None]) -> None:
        what, key, content = note
        before = self._may_be.get(key, [None])
        self._may_be[key] = [content] if what == "done" else [*before, content]

    def check(self, stored: dict[str, bytes]) -> None:
        assert stored.keys() <= self._may_be.keys()
        for key, contents in self._may_be.items():
            assert stored.get(key) in contents, key


class Told:
    """A target that tells its disk what it was asked and what it has answered."""

    def __init__(self, target: LocalTarget, files: RecordedFiles) -> None:
        self._target = target
        self._files = files

    async def put(self, key: str, content: bytes, *, if_absent: bool = False) -> None:
        self._files.note(("begun", key, content))
        try:
            await self._target.put(key, content, if_absent=if_absent)
        except ObjectExists:
            return
        self._files.note(("done", key, content))

    async def delete(self, key: str) -> None:
        self._files.note(("begun", key, None))
        await self._target.delete(key)
        self._files.note(("done", key, None))


@pytest.fixture
async def told(tmp_path: Path) -> AsyncIterator[tuple[Told, RecordedFiles]]:
    files = RecordedFiles()
    target = LocalTarget(tmp_path, files=files)
    yield Told(target, files), files
    await target.aclose()


def after_each_event(files: RecordedFiles) -> Iterator[tuple[Disk, Any]]:
    """Yield the disk as each event leaves it, with what somebody was told if it was that."""
    disk = Disk()
    for event in files.events:
        disk.apply(event)
        yield disk, event.content if event.kind == "note" else None


async def test_p4_crash_what_a_target_has_answered_survives_a_power_cut(told: tuple[Told, RecordedFiles]) -> None:
    target, files = told
    for number in range(4):
        await target.put(f"packs/{number % 2}/{number}", b"pack" * (number + 1))
    await target.put("packs/0/0", b"written again")
    await target.put("manifests/1", b"the first one", if_absent=True)
    await target.put("manifests/1", b"another one", if_absent=True)
    await target.delete("packs/1/1")
    await target.delete("manifests/1")
    await target.put("manifests/1", b"after the deletion", if_absent=True)
    promises, random, states = Promises(), Random(1), 0
    for disk, note in after_each_event(files):
        if note is not None:
            promises.hear(note)
        for kept in SURVIVAL:
            promises.check(disk.survivors(random, kept))
            states += 1
    assert states > 300


async def test_target_that_does_not_sync_is_found_by_this_model(tmp_path: Path) -> None:
    files = RecordedFiles()
    with replaced(files, "fsync", lambda _: None):
        target = LocalTarget(tmp_path, files=files)
        await Told(target, files).put("key", b"content")
        await target.aclose()
    promises = Promises()
    (*_, (disk, note)) = after_each_event(files)
    promises.hear(note)
    with pytest.raises(AssertionError):
        promises.check(disk.survivors(Random(1), 0.0))


@contextmanager
def recorded(files: RecordedFiles) -> Iterator[None]:
    """Let every local target of this process write down what it does, and each promise of the catalog before it."""
    publish, begin_delete = Catalog.publish_backup, Catalog.begin_delete

    async def publish_backup(self: Catalog, backup_id: str, **keywords: Any) -> None:
        files.note(("available", backup_id))
        await publish(self, backup_id, **keywords)

    async def delete(self: Catalog, backup_id: str, *arguments: Any) -> None:
        files.note(("going", backup_id))
        await begin_delete(self, backup_id, *arguments)

    with ExitStack() as replacements:
        for name in ("open", "close", "mkdir", "write", "fsync", "link", "replace", "unlink"):
            replacements.enter_context(replaced(LocalFiles, name, staticmethod(getattr(files, name))))
        replacements.enter_context(replaced(Catalog, "publish_backup", publish_backup))
        replacements.enter_context(replaced(Catalog, "begin_delete", delete))
        yield


async def live_a_little(place: Place, files: RecordedFiles) -> None:
    """Back up twice and delete the first one."""
    (place.sources / "disk").write_bytes(random_bytes(MIB))
    with recorded(files):
        async with resumed(place) as api:
            first = await api.back_up(await api.add_volume(place.sources / "disk"))
            (place.sources / "disk").write_bytes(random_bytes(MIB // 2, seed=7))
            await api.back_up("disk")
            await api.delete(first)


class Survivors:
    """Looks at the repository that a power cut left."""

    def __init__(self, place: Place, workers: Workers) -> None:
        self._place = place
        self._workers = workers
        self._promised: set[str] = set()
        self._verified: set[int] = set()
        self.states = 0

    def hear(self, note: tuple[str, str]) -> None:
        change = self._promised.add if note[0] == "available" else self._promised.discard
        change(note[1])

    async def check(self, stored: dict[str, bytes]) -> None:
        """Whatever has a manifest is whole, and what was promised has one."""
        self.states += 1
        published = {key.rpartition("/")[2] for key in stored if "/manifests/" in key}
        assert self._promised <= published
        if published and (digest := hash(frozenset(stored.items()))) not in self._verified:
            self._verified.add(digest)
            await self._verify(stored)

    async def _verify(self, stored: dict[str, bytes]) -> None:
        target = MemoryTarget()
        for key, content in stored.items():
            await target.put(key, content)
        repository = await open_existing(target, self._place.root / "state" / "master.key")
        async for backup_id in repository.backup_ids():
            manifest = await repository.manifest(backup_id)
            assert manifest is not None
            await verify(repository, manifest, self._workers)


async def test_p4_crash_no_backup_is_available_that_a_power_cut_could_take_back(place: Place) -> None:
    files, random = RecordedFiles(), Random(2)
    await live_a_little(place, files)
    async with working() as workers:
        survivors = Survivors(place, workers)
        for disk, note in after_each_event(files):
            if note is not None:
                survivors.hear(note)
            for kept in SURVIVAL:
                await survivors.check(disk.survivors(random, kept))
    assert survivors.states > 200


async def commit_some(directory: Path) -> tuple[list[bytes], list[int], bytes]:
    """Return the log as it was after each of some commits, how many there were by then, and the database."""
    path = directory / "catalog.sqlite"
    catalog = await Catalog.open(f"sqlite:///{path}", SystemClock())
    logs, counts = [], []
    try:
        for number in range(8):
            await catalog.add_backup_type(make_backup_type(id=f"{number}", name=f"type-{number}"))
            logs.append(path.with_name("catalog.sqlite-wal").read_bytes())
            counts.append(number + 1)
        return logs, counts, path.read_bytes()
    finally:
        await catalog.aclose()


async def types_in(directory: Path, database: bytes, log: bytes) -> int:
    """Return how many types a catalog has that starts with these files."""
    directory.mkdir()
    path = directory / "catalog.sqlite"
    path.write_bytes(database)
    path.with_name("catalog.sqlite-wal").write_bytes(log)
    catalog = await Catalog.open(f"sqlite:///{path}", SystemClock())
    try:
        return len(await catalog.backup_types())
    finally:
        await catalog.aclose()


async def test_p4_crash_what_the_catalog_has_committed_survives_a_power_cut(tmp_path: Path) -> None:
    """A commit syncs the log (synchronous = FULL), so only what was written to it since can be cut or garbled."""
    logs, counts, database = await commit_some(tmp_path)
    random, states = Random(3), 0
    for before, after, count in zip(logs, logs[1:], counts, strict=False):
        assert after[: len(before)] == before, "the log began anew: sync the database too in this model"
        grown = len(after) - len(before)
        for cut in (0, 1, grown // 2, grown - 1, grown):
            torn = bytearray(after[: len(before) + cut])
            if cut and random.random() < 0.5:  # The end is there and something before it is not.
                hole = len(before) + random.randrange(cut)
                torn[hole : hole + 512] = bytes(len(torn[hole : hole + 512]))
            found = await types_in(tmp_path / f"state-{states}", database, bytes(torn))
            assert found in (count, count + 1)
            states += 1
    assert states == 35
