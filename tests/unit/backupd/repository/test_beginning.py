"""A project's first backups begin one repository, whichever targets they go to."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from backupd.repository import layout
from backupd.repository.keyring import Keyring
from backupd.repository.opened import Opened, Repositories
from targets.base import Body
from targets.errors import Unavailable
from targets.memory import MemoryTarget
from tests.support.virtual_clock import VirtualClock

PROJECT = "default"


class Held(MemoryTarget):
    """Stores what it is given first only when it may, and what comes later at once."""

    def __init__(self) -> None:
        super().__init__()
        self.has_been_asked, self.may_store = asyncio.Event(), asyncio.Event()

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        if not self.has_been_asked.is_set():
            self.has_been_asked.set()
            await self.may_store.wait()
        await super().put(key, body, if_absent=if_absent)


class Down(MemoryTarget):
    """Answers nothing."""

    async def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes:
        raise Unavailable("down")


def repositories(tmp_path: Path, **targets: MemoryTarget) -> Repositories:
    return Repositories(targets, Keyring([bytes(32)], origin="test"), VirtualClock(), tmp_path)


def id_of(opened: Opened) -> bytes:
    return opened.repository.keys.repository_id


async def test_two_that_begin_at_once_on_other_targets_begin_the_same(tmp_path: Path) -> None:
    far = Held()
    ours = repositories(tmp_path, near=MemoryTarget(), far=far)
    async with asyncio.TaskGroup() as jobs:
        both = jobs.create_task(ours.open_to_write(PROJECT, ["near", "far"], is_encrypted=True))
        await far.has_been_asked.wait()
        one = jobs.create_task(ours.open_to_write(PROJECT, ["far"], is_encrypted=True))
        for _ in range(100):  # As many turns as it may want, who was second is not first now.
            await asyncio.sleep(0)
        far.may_store.set()
    assert id_of(both.result()) == id_of(one.result())


@pytest.mark.parametrize("later", [["far"], ["far", "near"]])
async def test_another_target_gets_what_the_project_has_elsewhere(tmp_path: Path, later: list[str]) -> None:
    near, far = MemoryTarget(), MemoryTarget()
    first = await repositories(tmp_path, near=near, far=far).open_to_write(PROJECT, ["near"], is_encrypted=True)
    second = await repositories(tmp_path, near=near, far=far).open_to_write(PROJECT, later, is_encrypted=True)
    assert id_of(first) == id_of(second)


async def test_encrypted_and_plain_ones_and_those_of_projects_differ(tmp_path: Path) -> None:
    ours = repositories(tmp_path, near=MemoryTarget())
    begun = [
        id_of(await ours.open_to_write(project, ["near"], is_encrypted=is_encrypted))
        for project in ("one", "other")
        for is_encrypted in (True, False)
    ]
    assert len(set(begun)) == 4


async def test_a_target_that_nobody_asked_for_keeps_no_repository_from_being_begun(tmp_path: Path) -> None:
    near = MemoryTarget()
    await repositories(tmp_path, near=near, far=Down()).open_to_write(PROJECT, ["near"], is_encrypted=True)
    key = layout.prefix(PROJECT, is_encrypted=True) + layout.REPOSITORY
    assert (await near.head(key)).size_bytes > 0
