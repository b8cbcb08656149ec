"""Targets that are down, or lie about what they have stored: short stories, each with the model's checks at its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from backupd.application.backup_types import NewBackupType
from backupd.application.backups import NewBackup
from backupd.application.verifications import NewVerification
from backupd.application.volumes import VolumeChange
from backupd.model import Backup, BackupMode, BackupState, CopyState, Job, JobState
from backupd.simulation.happenings import set_up
from backupd.simulation.loop import run_simulated
from backupd.simulation.run import PROJECT, Run
from backupd.simulation.store import Store
from backupd.simulation.trace import Trace

PLAIN, TWO_TARGETS, READ_BACK = "type-0", "type-2", "type-3"
READ_BACK_TARGET = "far"
MINUTES_S = 300.0


class Story(Run):
    """A run in which what happens is told beforehand."""

    async def _live(self, days: int, happen: Callable[[Run], Awaitable[None]]) -> None:
        await self.start_node()
        await happen(self)
        await self._last_evening()
        await self._end()

    async def back_up(self, backup_type: str, mode: BackupMode | None = None) -> tuple[Backup, Job]:
        """Change the first volume and back it up; return both as they ended."""
        (volume, *_) = await self.operator.volumes.all(PROJECT)
        await self.operator.volumes.change(PROJECT, volume.name, VolumeChange(backup_type=backup_type))
        self.guests[volume.id].volume.write(0, b"before")
        self.guests[volume.id]._now.write(0, b"before")
        for _ in range(3):
            self.guests[volume.id].act()
        backup, job = await self.operator.backups.create(PROJECT, NewBackup(volume=volume.name, mode=mode))
        ended = await self.end(job)
        return await self.operator.backups.one(PROJECT, backup.id), ended

    async def verify(self, backup: Backup) -> Job:
        return await self.end(await self.operator.verifications.create(PROJECT, NewVerification(backup=backup.id)))

    async def end(self, job: Job) -> Job:
        while not (found := (await self.operator.jobs.one(PROJECT, job.id)).job).state.is_final:  # noqa: ASYNC110 - a node ends it
            await asyncio.sleep(1)
        return found


def tell(story: Callable[[Story], Awaitable[None]], directory: Path) -> None:
    async def run() -> None:
        trace = Trace(asyncio.get_running_loop().time)
        await Story(directory, trace).run(0, set_up, story)  # type: ignore[arg-type]  # a Story is told of a Story

    run_simulated(run(), seed=3)


def message(job: Job) -> str:
    assert job.state is JobState.FAILED
    assert job.failure is not None
    return job.failure.message


def test_target_that_answers_503_for_minutes_costs_the_backups_of_these_minutes_only(tmp_path: Path) -> None:
    async def story(run: Story) -> None:
        before, _ = await run.back_up(PLAIN)
        run.stores["near"].is_down = True
        run.later(MINUTES_S, "near is up", lambda: setattr(run.stores["near"], "is_down", False))
        failed, job = await run.back_up(PLAIN)
        assert failed.state is BackupState.ERROR
        assert message(job).startswith("target near: default/")
        assert "503" in message(job)
        await asyncio.sleep(MINUTES_S)
        run._do_what_is_due(run.loop.time())
        after, _ = await run.back_up(PLAIN)
        states = [(await run.operator.backups.one(PROJECT, one.id)).state for one in (before, after)]
        assert states == [BackupState.AVAILABLE] * 2

    tell(story, tmp_path)


def lie_about_next_put(run: Story, target: str, part: str) -> None:
    """Let the target say that it has stored the next object of a kind, and not store it."""
    store = run.stores[target]
    put = store.put

    async def lie(key: str, body: bytes, *, if_absent: bool = False) -> None:
        if part in key and not store.damaged:
            store.damaged.add(key)
            return
        await put(key, body, if_absent=if_absent)

    setattr(store, "put", lie)  # noqa: B010 - mypy would not have a method replaced


def test_p3_tell_pack_that_a_target_only_says_it_has_is_named_and_stored_anew(tmp_path: Path) -> None:
    async def story(run: Story) -> None:
        lie_about_next_put(run, "near", "/packs/")
        backup, job = await run.back_up(PLAIN)
        assert job.state is JobState.SUCCEEDED  # Nobody asked for anything to be read back.
        (lost,) = run.stores["near"].damaged
        assert lost.split("/", 2)[2] in message(await run.verify(backup))
        healed, _ = await run.back_up(PLAIN, BackupMode.FULL)
        assert (await run.verify(healed)).state is JobState.SUCCEEDED

    tell(story, tmp_path)


@pytest.mark.parametrize("kind", ["/packs/", "/manifests/"])
def test_p1_exact_no_backup_is_available_when_reading_back_can_tell_that_it_is_not_there(
    tmp_path: Path, kind: str
) -> None:
    async def story(run: Story) -> None:
        lie_about_next_put(run, READ_BACK_TARGET, kind)
        backup, job = await run.back_up(READ_BACK)
        (lost,) = run.stores[READ_BACK_TARGET].damaged
        assert lost.split("/", 2)[2] in message(job)
        assert backup.state is BackupState.ERROR

    tell(story, tmp_path)


def test_p1_exact_no_backup_is_available_whose_manifest_a_target_only_says_it_has(tmp_path: Path) -> None:
    async def story(run: Story) -> None:
        lie_about_next_put(run, "near", "/manifests/")
        backup, job = await run.back_up(PLAIN)
        (lost,) = run.stores["near"].damaged
        assert lost.split("/", 2)[2] in message(job)
        assert backup.state is BackupState.ERROR

    tell(story, tmp_path)


def test_p1_exact_no_backup_is_available_that_no_target_is_known_to_have(tmp_path: Path) -> None:
    """Both targets take the manifest, and answer no more before they are asked whether they have it."""

    async def story(run: Story) -> None:
        for store in run.stores.values():
            go_down_after_manifest(store)
        backup, job = await run.back_up(TWO_TARGETS)
        await run.calm_down()
        copies = await run.operator.copies.of(backup.id)
        assert backup.state is BackupState.ERROR or CopyState.COMPLETE in {copy.state for copy in copies}
        if backup.state is BackupState.ERROR:
            assert "503" in message(job)

    tell(story, tmp_path)


def go_down_after_manifest(store: Store) -> None:
    put = store.put

    async def put_and_go_down(key: str, body: bytes, *, if_absent: bool = False) -> None:
        await put(key, body, if_absent=if_absent)
        if "/manifests/" in key:
            await asyncio.sleep(1)
            store.is_down = True

    setattr(store, "put", put_and_go_down)  # noqa: B010 - mypy would not have a method replaced


def test_p1_exact_a_target_that_lags_for_other_backups_has_all_of_those_that_go_there_alone(tmp_path: Path) -> None:
    async def story(run: Story) -> None:
        await run.operator.backup_types.add(NewBackupType(name="both", target="far", copies=("near",)))
        await run.operator.backup_types.add(NewBackupType(name="one", target="near"))
        await run.back_up("both")
        run.stores["near"].is_down = True
        lagging, _ = await run.back_up("both")
        run.stores["near"].is_down = False
        assert [copy.target for _, copy in await run.catalog.lagging_copies()] == ["near"]
        backup, _ = await run.back_up("one")
        assert [copy.state for copy in await run.operator.copies.of(backup.id)] == [CopyState.COMPLETE]
        assert lagging.state is BackupState.AVAILABLE

    tell(story, tmp_path)
