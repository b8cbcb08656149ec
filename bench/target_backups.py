"""Full backups to a store through the service, next to the same backups to a directory."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.daemon import Daemon
from bench.stores import Store
from tests.support.servers.process import free_port

LOCAL = "local"
_WARM_UP_BYTES = 4 * 1024 * 1024
_TOLD_AFTER_S = 0.5
_COSTS = ("wall_s", "cpu_s", "memory_peak_bytes", "requests", "sent_bytes", "received_bytes")


@dataclass(slots=True)
class BackedUp:
    """One row of the table: ``rounds`` are (store, local); ``server_cpu_s`` is what the store's servers took."""

    store: str
    size_bytes: int
    rounds: list[tuple[dict[str, float], dict[str, float]]]


@dataclass(frozen=True, slots=True)
class Profiled:
    """Wall time, the servers' processor time, and what each part of the daemon took, for the store and for local."""

    store: str
    taken_s: dict[str, float]
    local_s: dict[str, float]


def measure(store: Store, root: Path, image: Path, *, rounds: int, threads: int) -> BackedUp:
    """Back ``image`` up ``rounds`` times to each, in a daemon of its own below ``root``."""
    row = BackedUp(store.name, image.stat().st_size, [])
    linked = _linked(root, image)
    with _warm(root, store, "warm-up", threads=threads) as daemon:
        for number in range(rounds):
            order = (store.name, LOCAL) if number % 2 == 0 else (LOCAL, store.name)
            costs = {target: _back_up(daemon, store, linked, target, f"round-{number}") for target in order}
            row.rounds.append((costs[store.name], costs[LOCAL]))
    return row


def profile(store: Store, root: Path, image: Path, *, threads: int) -> Profiled:
    """Back ``image`` up once to each, by the daemon below ``root``; it tells what takes its processor time."""
    linked = _linked(root, image)
    told = root / "profile.json"
    costs = {}
    with _warm(root, store, "warm-profile", threads=threads, module=("bench.profiled", str(told))) as daemon:
        for target in (store.name, LOCAL):
            before = _told(told)
            cost = _back_up(daemon, store, linked, target, "profile")
            parts = {part: taken_s - before[part] for part, taken_s in _told(told).items()}
            costs[target] = parts | {"the server": cost["server_cpu_s"], "wall time, not CPU": cost["wall_s"]}
    return Profiled(store.name, costs[store.name], costs[LOCAL])


def _told(path: Path) -> dict[str, float]:
    """Return what each part has taken so far, once all of it has been written."""
    time.sleep(_TOLD_AFTER_S)
    taken_s: dict[str, float] = json.loads(path.read_text())
    return taken_s


def _linked(root: Path, image: Path) -> Path:
    linked = root / "volume.img"
    if not linked.exists():
        linked.hardlink_to(image)
    return linked


@contextmanager
def _warm(
    root: Path, store: Store, name: str, *, threads: int, module: Sequence[str] = ("backupd",)
) -> Iterator[Daemon]:
    """Run a daemon that has logged in, connected, and imported what it needs, by backups of this name."""
    small = root / "small.img"
    small.write_bytes(os.urandom(_WARM_UP_BYTES))
    with Daemon(root, threads=threads, port=free_port(), more=store.section(), module=module) as daemon:
        for target in (store.name, LOCAL):
            _back_up(daemon, store, small, target, name)
        yield daemon


def _back_up(daemon: Daemon, store: Store, image: Path, target: str, name: str) -> dict[str, float]:
    """Store all of it: each has a volume row and a type of its own, without de-duplication."""
    row = f"{name}-{target}"
    daemon.post("/v1/backup-types", {"name": row, "target": target, "is_deduplicated": False})
    daemon.post("/v1/volumes", {"name": row, "path": str(image), "backup_type": row})
    os.sync()
    server_cpu_s = store.cpu_s()
    job = daemon.run("/v1/backups", {"volume": row, "mode": "full"}, target=target)
    return {name: job[name] for name in _COSTS} | {"server_cpu_s": store.cpu_s() - server_cpu_s}
