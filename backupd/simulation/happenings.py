"""What operators, guests and bad luck do in a run, one thing at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, TypeVar

from backupd.application.backup_types import NewBackupType
from backupd.application.backups import NewBackup
from backupd.application.collections import NewCollection
from backupd.application.condition import NewRepair, NewScrub
from backupd.application.copies import NewCopy, NewReplication
from backupd.application.verifications import NewVerification
from backupd.application.volumes import NewVolume, VolumeChange
from backupd.errors import BackupdError
from backupd.model import Backup, BackupMode, BackupState, Job
from backupd.simulation.guests import Guest
from backupd.simulation.node import LEASE_S
from backupd.simulation.run import PROJECT, TARGETS, Happen, Run
from backupd.simulation.store import Store
from backupd.simulation.weather import is_pack
from targets.wrappers.faults import Effect, Fault

T = TypeVar("T")
_MINUTES_S = (60.0, 600.0, 1800.0)
_SLOW_S = 30.0
_BACKUP_S = 5.0
_COLLECTION_S = 60.0
_MOMENTS_S = (0.0, 0.01, 0.05, 0.2, 1.0, 5.0)
_SKEWS_S = (-3600.0, -300.0, -10.0, 0.0, 0.0, 10.0, 300.0, 3600.0)
_STEPS_TO_DEATH = (0, 1, 3, 10, 20, 40, 80)
_VOLUME_BACKUPS_MAX = 8
_DELETED_SHARE = 0.3
_WEIGHTS: dict[Callable[[Run], Awaitable[object]], float] = {}


async def set_up(run: Run) -> None:
    """Make types and volumes, as an operator does on the first day."""
    (run.world.directory / "sources").mkdir()
    near, far = TARGETS
    kinds: list[dict[str, Any]] = [
        {"target": near},
        {"target": near, "retention": "few"},
        {"target": near, "copies": (far,), "quorum": run.random.choice([1, 2]), "retention": "days"},
        {"target": far, "retention": "few", "verify_bytes": 1024 * 1024},
    ]
    suites = run.random.choice([[True], [True], [False], [True, False]])
    for number, kind in enumerate(kinds):
        await run.operator.backup_types.add(
            NewBackupType(
                name=f"type-{number}",
                chunk_size_bytes=run.random.choice([64, 64, 256]) * 1024,
                compression_level=run.random.choice([0, 1, 3]),
                is_encrypted=run.random.choice(suites),
                is_deduplicated=run.random.random() < 0.8,
                **kind,
            )
        )
    for number in range(run.random.choice([1, 2])):
        path = run.world.directory / "sources" / f"disk-{number}"
        path.touch()
        new = NewVolume(name=path.name, path=str(path), backup_type=_draw_type(run))
        volume = await run.operator.volumes.add(PROJECT, new)
        run.guests[volume.id] = Guest(run.random, identity=f"memory:{number}")


async def happen(run: Run) -> None:
    """Let one thing happen; what is refused is as if nobody had asked."""
    await _one_of(run, _WEIGHTS)


def often(*names: str) -> Happen:
    """Return what lets things happen as ``happen`` does, but that every second one is one of these, all as likely."""
    chosen = {action: 1.0 for action in _WEIGHTS if action.__name__.removeprefix("_") in names}
    assert len(chosen) == len(names), names

    async def happen_often(run: Run) -> None:
        await _one_of(run, run.random.choice([chosen, _WEIGHTS]))

    return happen_often


async def _one_of(run: Run, weights: Mapping[Callable[[Run], Awaitable[object]], float]) -> None:
    (action,) = run.random.choices(list(weights), list(weights.values()))
    with suppress(BackupdError):
        await action(run)


def _happens(weight: float) -> Callable[[Callable[[Run], Awaitable[T]]], Callable[[Run], Awaitable[T]]]:
    def add(action: Callable[[Run], Awaitable[T]]) -> Callable[[Run], Awaitable[T]]:
        _WEIGHTS[action] = weight
        return action

    return add


@_happens(10)
async def _back_up(run: Run) -> Job:
    for _ in range(run.random.randint(0, 4)):
        guest = run.random.choice(list(run.guests.values()))
        run.note(f"a guest {guest.act()}")
    volume = run.random.choice(await run.operator.volumes.all(PROJECT))
    mode = run.random.choice([None, None, None, None, BackupMode.FULL])
    backup, job = await run.operator.backups.create(PROJECT, NewBackup(volume=volume.name, mode=mode))
    run.note(f"back up {volume.name} on top of {backup.parent_id}: {backup.id}, job {job.id}")
    return job


@_happens(2)
async def _guest_acts(run: Run) -> None:
    guest = run.random.choice(list(run.guests.values()))
    run.note(f"a guest {guest.act()}")


@_happens(1.5)
async def _restore(run: Run) -> None:
    if backup := await _some_backup(run, BackupState.AVAILABLE):
        await run.restore(backup, await run.seen())


@_happens(1)
async def _verify(run: Run) -> None:
    if backup := await _some_backup(run, BackupState.AVAILABLE):
        run.note(f"verify {backup.id}")
        await run.operator.verifications.create(PROJECT, NewVerification(backup=backup.id))


@_happens(1.5)
async def _delete(run: Run) -> None:
    if backup := await _some_backup(run, BackupState.AVAILABLE, BackupState.ERROR):
        run.note(f"delete {backup.id}, which is {backup.state}")
        await run.operator.backups.delete(PROJECT, backup.id)


@_happens(0.5)
async def _delete_many(run: Run) -> None:
    backups = await run.operator.backups.all(PROJECT)
    for backup in backups[_VOLUME_BACKUPS_MAX:]:
        run.note(f"delete {backup.id}, which is {backup.state}")
        with suppress(BackupdError):
            await run.operator.backups.delete(PROJECT, backup.id)


@_happens(0.5)
async def _copy(run: Run) -> None:
    if backup := await _some_backup(run, BackupState.AVAILABLE):
        target = run.random.choice(TARGETS)
        run.note(f"copy {backup.id} to {target}")
        await run.operator.copies.create(PROJECT, NewCopy(backup=backup.id, target=target))


@_happens(0.5)
async def _replicate(run: Run) -> None:
    """Bring all to the other target, and delete some of it meanwhile."""
    await _back_up(run)
    await run.sleep(run.random.choice(_MOMENTS_S))
    source, target = run.random.sample(TARGETS, 2)
    new = NewReplication(source=source, target=target, is_encrypted=run.random.random() < 0.5)
    job = await run.operator.copies.replicate(PROJECT, new)
    run.note(f"replicate {source} to {target}, encrypted: {new.is_encrypted}: job {job.id}")
    with _slow_puts(run):
        await run.sleep(run.random.choice(_MOMENTS_S))
        for backup in await run.operator.backups.all(PROJECT):
            if run.random.random() < _DELETED_SHARE:
                run.note(f"delete {backup.id}, which is {backup.state}")
                with suppress(BackupdError):
                    await run.operator.backups.delete(PROJECT, backup.id)
        await run.sleep(3 * _SLOW_S)


@_happens(0.5)
async def _collect(run: Run) -> None:
    target = run.random.choice(TARGETS)
    job = await run.operator.collections.create(PROJECT, target, NewCollection(dry_run=run.random.random() < 0.1))
    run.note(f"collect {target}: job {job.id}")


@_happens(0.4)
async def _scrub(run: Run) -> None:
    target = run.random.choice(TARGETS)
    run.note(f"scrub {target}")
    await run.operator.condition.scrub(PROJECT, NewScrub(target=target, with_keys=run.random.random() < 0.8))


@_happens(0.4)
async def _repair(run: Run) -> None:
    target = run.random.choice(TARGETS)
    run.note(f"repair {target}")
    await run.operator.condition.repair(PROJECT, NewRepair(target=target))


@_happens(0.7)
async def _collect_meanwhile(run: Run) -> None:
    """Delete and collect what a backup that is under way shares: it reads everything, and finds it stored."""
    await _back_up(run)
    await run.sleep(run.random.choice(_MOMENTS_S))
    with _slow_puts(run):
        volume = run.random.choice(await run.operator.volumes.all(PROJECT))
        backups = await run.operator.backups.all(PROJECT, volume=volume.name)
        backup, _ = await run.operator.backups.create(PROJECT, NewBackup(volume=volume.name, mode=BackupMode.FULL))
        run.note(f"back up all of {volume.name}, while what it shares is collected: {backup.id}")
        await run.sleep(run.random.choice(_MOMENTS_S))
        for old in backups:
            with suppress(BackupdError):
                await run.operator.backups.delete(PROJECT, old.id)
        await run.sleep(run.random.choice(_MOMENTS_S))
        job = await run.operator.collections.create(PROJECT, backup.target, NewCollection())
        run.note(f"collect {backup.target}: job {job.id}")
        await run.sleep(3 * _SLOW_S)


@_happens(1)
async def _back_up_in_vain(run: Run) -> None:
    """Let a backup fail, as its targets are full, and back up again: nothing that was written may be missed."""
    for guest in run.guests.values():
        run.note(f"a guest {guest.act()}")
    run.note("all is full for a moment")
    for store in run.stores.values():
        store.is_full = True
    await _back_up(run)
    await run.sleep(_BACKUP_S)
    for store in run.stores.values():
        store.is_full = False
    await _back_up(run)


@_happens(0.7)
async def _collect_by_a_stale_listing(run: Run) -> None:
    """Delete and collect, and again with a listing that misses what says where the frames of compacted packs are."""
    store = _some_store(run)
    for unlisted in (None, "/forward/"):
        await _back_up(run)
        await run.sleep(_BACKUP_S)
        with suppress(BackupdError):
            await _delete(run)
        await run.sleep(_BACKUP_S)
        store.unlisted = unlisted
        job = await run.operator.collections.create(PROJECT, store.name, NewCollection())
        run.note(f"collect {store.name}, whose listings miss {unlisted}: job {job.id}")
        await run.sleep(_COLLECTION_S)
    store.unlisted = None


@_happens(0.3)
async def _change_type(run: Run) -> None:
    volume = run.random.choice(await run.operator.volumes.all(PROJECT))
    change = VolumeChange(backup_type=_draw_type(run))
    run.note(f"{volume.name} has {change.backup_type} now")
    await run.operator.volumes.change(PROJECT, volume.name, change)


@_happens(1)
async def _cancel(run: Run) -> None:
    if jobs := await run.unfinished():
        job = run.random.choice(jobs)
        run.note(f"cancel {job.kind} of {job.backup_id}, which is {job.state}")
        await run.operator.jobs.cancel(PROJECT, job.id)


@_happens(1.5)
async def _crash(run: Run) -> None:
    """Let a node die at some await, and another one begin; one of the same name only when that is dead for sure."""
    node = run.random.choice(run.nodes)
    steps = run.random.choice(_STEPS_TO_DEATH)
    run.note(f"{node.name} dies after {steps} steps")
    run.nodes.remove(node)
    run.dead.append(node)
    node.crash(after_steps=steps)
    if run.random.random() < 0.5:
        await run.start_node()
        run.later(run.random.choice(_MINUTES_S), f"{node.name} is dead now", partial(node.crash, after_steps=0))
        return
    await run.sleep(run.random.choice([0.0, 1.0, LEASE_S]))
    node.crash(after_steps=0)
    await run.start_node(node.name)


@_happens(1)
async def _crash_in_a_backup(run: Run) -> None:
    """Let a node die when it has stored something of a backup, and knows nothing of that when it comes again."""
    node = run.random.choice(run.nodes)
    if node.is_paused:
        return
    await _back_up(run)
    part = run.random.choice(["/packs/", "/manifests/"])
    run.note(f"{node.name} dies after it has stored one of {part}")
    run.nodes.remove(node)
    run.dead.append(node)
    node.crash_after_put(part)
    await run.start_node()
    run.later(run.random.choice(_MINUTES_S), f"{node.name} is dead now", partial(node.crash, after_steps=0))


@_happens(1)
async def _pause(run: Run) -> None:
    """Suspend a node at some await, as a virtual machine may be, for longer than its leases or shorter."""
    node = run.random.choice(run.nodes)
    steps = run.random.choice(_STEPS_TO_DEATH)
    run.note(f"{node.name} is suspended after {steps} steps")
    node.pause(after_steps=steps)
    if len(run.nodes) == 1:
        await run.start_node()
    run.later(run.random.choice([1.0, LEASE_S / 2, 2 * LEASE_S, *_MINUTES_S]), f"resume {node.name}", node.resume)


@_happens(0.7)
async def _restart(run: Run) -> None:
    node = run.random.choice(run.nodes)
    if node.is_paused:
        return
    run.note(f"{node.name} is restarted")
    run.nodes.remove(node)
    await node.stop()
    node.check_memory(is_idle=True)
    await run.start_node(node.name)


@_happens(0.5)
async def _set_clock(run: Run) -> None:
    node = run.random.choice(run.nodes)
    node.clock.skew_s = run.random.choice(_SKEWS_S)
    run.note(f"the clock of {node.name} is {node.clock.skew_s:g} s fast")


@_happens(0.5)
async def _go_down(run: Run) -> None:
    store = _some_store(run)
    run.note(f"{store.name} is down")
    store.is_down = True
    run.later(run.random.choice(_MINUTES_S), f"{store.name} is up", partial(setattr, store, "is_down", False))


@_happens(0.5)
async def _fill_up(run: Run) -> None:
    store = _some_store(run)
    run.note(f"{store.name} is full")
    store.is_full = True
    run.later(run.random.choice(_MINUTES_S), f"{store.name} has room", partial(setattr, store, "is_full", False))


@_happens(0.2)
async def _lie_about_puts(run: Run) -> None:
    store = _some_store(run)
    store.lies_left = run.random.choice([1, 3])
    run.note(f"{store.name} will say {store.lies_left} times that it has stored something")


@_happens(0.3)
async def _rot(run: Run) -> None:
    store = _some_store(run)
    if keys := store.keys("/packs/"):
        key = run.random.choice(keys)
        run.note(f"{key} rots on {store.name}")
        store.rot(key, run.random)


@_happens(0.2)
async def _lose(run: Run) -> None:
    store = _some_store(run)
    if keys := store.keys("/packs/"):
        key = run.random.choice(keys)
        run.note(f"{key} vanishes from {store.name}")
        store.lose(key)


@_happens(0.3)
async def _lie_about_changes(run: Run) -> None:
    guest = run.random.choice(list(run.guests.values()))
    run.note(f"a bitmap {guest.lie()}")


@contextmanager
def _slow_puts(run: Run) -> Iterator[None]:
    """Let packs be stored slowly, so that much happens meanwhile."""
    slow = Fault(effect=Effect.LATENCY, operation="put", matches=is_pack, latency_s=_SLOW_S)
    run.faults.append(slow)
    try:
        yield
    finally:
        if slow in run.faults:
            run.faults.remove(slow)


def _some_store(run: Run) -> Store:
    return run.stores[run.random.choice(TARGETS)]


def _draw_type(run: Run) -> str:
    return f"type-{run.random.randrange(4)}"


async def _some_backup(run: Run, *states: BackupState) -> Backup | None:
    backups = [backup for backup in await run.operator.backups.all(PROJECT) if backup.state in states]
    return run.random.choice(backups) if backups else None
