"""Full backups to a store through the service, next to the same backups to a directory."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from bench.daemon import Daemon
from bench.stores import Store
from tests.support.servers.process import free_port

LOCAL = "local"
_WARM_UP_BYTES = 4 * 1024 * 1024
_COSTS = ("wall_s", "cpu_s", "memory_peak_bytes", "requests", "sent_bytes", "received_bytes")


@dataclass(slots=True)
class BackedUp:
    """One row of the table: ``rounds`` are (store, local); ``server_cpu_s`` is what the store's servers took."""

    store: str
    size_bytes: int
    rounds: list[tuple[dict[str, float], dict[str, float]]]


def measure(store: Store, root: Path, image: Path, *, rounds: int, threads: int) -> BackedUp:
    """Back ``image`` up ``rounds`` times to each, in a daemon of its own below ``root``."""
    row = BackedUp(store.name, image.stat().st_size, [])
    linked = root / "volume.img"
    linked.hardlink_to(image)
    small = root / "small.img"
    small.write_bytes(os.urandom(_WARM_UP_BYTES))
    with Daemon(root, threads=threads, port=free_port(), more=store.section()) as daemon:
        for target in (store.name, LOCAL):
            _back_up(daemon, store, small, target, "warm-up")  # Logins, connections, imports.
        for number in range(rounds):
            order = (store.name, LOCAL) if number % 2 == 0 else (LOCAL, store.name)
            costs = {target: _back_up(daemon, store, linked, target, f"round-{number}") for target in order}
            row.rounds.append((costs[store.name], costs[LOCAL]))
    return row


def _back_up(daemon: Daemon, store: Store, image: Path, target: str, name: str) -> dict[str, float]:
    """Store all of it: each has a volume row and a type of its own, without de-duplication."""
    row = f"{name}-{target}"
    daemon.post("/v1/backup-types", {"name": row, "target": target, "is_deduplicated": False})
    daemon.post("/v1/volumes", {"name": row, "path": str(image), "backup_type": row})
    os.sync()
    server_cpu_s = store.cpu_s()
    job = daemon.run("/v1/backups", {"volume": row, "mode": "full"}, target=target)
    return {name: job[name] for name in _COSTS} | {"server_cpu_s": store.cpu_s() - server_cpu_s}
