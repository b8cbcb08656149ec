"""Copies of what is damaged, or there by half."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from backupd.errors import CorruptObject
from backupd.jobs.failure import failure_of
from backupd.model import JobKind, JobState
from backupd.repository import layout
from targets.base import Target
from targets.memory import MemoryTarget
from tests.support.builders import PROJECT, make_job
from tests.support.yard import CHUNK_BYTES, yard


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


@pytest.mark.parametrize("kind", [JobKind.COPY, JobKind.REPLICATE])
async def test_p3_tell_a_pack_that_is_there_by_half_is_not_believed_when_its_original_was_compacted_away(
    tmp_path: Path, kind: JobKind
) -> None:
    async with yard(tmp_path) as place:
        disk = await place.add_disk(40, seed=1)
        first = await place.back_up(disk)
        disk.memory.write(10 * CHUNK_BYTES, bytes([7]) * 30 * CHUNK_BYTES)
        second = await place.back_up(disk, first)
        here, there = place.stores["local"], place.stores["other"]
        packs = {info.key: await here.get(info.key) async for info in here.list("") if layout.PACKS in info.key}
        await place.delete(first)
        assert (await place.collect()).compacted
        for key, body in packs.items():
            await there.put(key, body[: len(body) // 2])
        request = {"source": "local", "target": "other", "is_encrypted": True}
        job = make_job(second, kind, request=request)
        await place.catalog.add_job(job if kind is JobKind.COPY else replace(job, backup_id=None))
        claimed = await place.claim()
        with pytest.raises(ExceptionGroup) as failed:
            await place.bodies[kind](claimed, place.run_of(claimed))
        assert "collect that target" in failure_of(failed.value).message
        await place.end(claimed, JobState.FAILED)
        assert await place.keys(layout.MANIFESTS, "other") == set()
        await place.collect(target="other")
        await place.copy(second, "other")
        await place.check("other")


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
