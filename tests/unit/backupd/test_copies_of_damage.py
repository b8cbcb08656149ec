"""Copies of what is damaged, or there by half."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backupd.errors import CorruptObject
from backupd.model import JobKind, JobState
from backupd.repository import layout
from targets.base import Target
from targets.memory import MemoryTarget
from tests.support.builders import PROJECT, make_job
from tests.support.yard import yard


class Rotting:
    """A target whose manifests lose a bit as soon as they were read."""

    def __init__(self, inner: Target) -> None:
        self._inner = inner
        self.capabilities = inner.capabilities

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def get(self, key: str, *, offset: int = 0, length: int | None = None) -> bytes:
        body = await self._inner.get(key, offset=offset, length=length)
        if layout.MANIFESTS in key:
            await self._inner.put(key, bytes([body[0] ^ 1, *body[1:]]))
        return body


@pytest.mark.parametrize("is_replicated", [False, True])
async def test_p3_tell_a_pack_that_is_there_by_half_is_copied_anew(
    tmp_path: Path,
    is_replicated: bool,
) -> None:
    async with yard(tmp_path) as place:
        backup = await place.back_up(await place.add_disk(20, seed=1))
        here, there = place.stores["local"], place.stores["other"]
        packs = {info.key: await here.get(info.key) async for info in here.list("") if layout.PACKS in info.key}
        for key, body in packs.items():
            await there.put(key, body[: len(body) // 2])
        if is_replicated:
            await place.replicate("local", "other")
        else:
            await place.copy(backup, "other")
        assert {key: await there.get(key) for key in packs} == packs


async def test_p3_tell_a_manifest_is_copied_as_it_was_when_it_was_looked_at(tmp_path: Path) -> None:
    async with yard(tmp_path, stores={"local": Rotting(MemoryTarget()), "other": MemoryTarget()}) as place:
        backup = await place.back_up(await place.add_disk(20, seed=1))
        await place.copy(backup, "other")
        await place.check("other")
        with pytest.raises(CorruptObject):
            await (await place.repository()).manifest(backup.id)


@pytest.mark.parametrize("kind", [JobKind.COPY, JobKind.REPLICATE])
async def test_a_deletion_removes_what_a_copy_that_failed_has_left(tmp_path: Path, kind: JobKind) -> None:
    async with yard(tmp_path) as place:
        backup = await place.back_up(await place.add_disk(20, seed=1))
        request = {"source": "local", "target": "other", "is_encrypted": True}
        await place.catalog.add_job(
            replace(make_job(backup, kind, request=request), backup_id=None if kind is JobKind.REPLICATE else backup.id)
        )
        job = await place.claim()
        source = await place.repository()
        key = f"{layout.prefix(PROJECT, is_encrypted=True)}{layout.manifest(backup.id)}"
        await place.stores["other"].put(key, await source.target.get(layout.manifest(backup.id)))
        await place.end(job, JobState.FAILED)
        await place.delete(backup)
        assert [info.key async for info in place.stores["other"].list("") if layout.MANIFESTS in info.key] == []
