"""A store that is far away: 50 ms added to each request, next to the same store without."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from bench import volume
from bench.daemon import Daemon
from bench.peers.delay import delaying
from bench.stores import KINDS, Store
from tests.support.servers.process import free_port

DELAY_S = 0.05
_START_S = 10.0


def measure(root: Path, *, size_bytes: int) -> dict[str, float]:
    """Back up and restore through a proxy that adds nothing, then through one that adds ``DELAY_S``. Missing."""
    image = root / "volume.img"
    volume.make(image, size_bytes)
    found: dict[str, float] = {"size_bytes": size_bytes}
    (root / "store").mkdir()
    with KINDS["s3"](root / "store") as store:
        for name, delay_s in (("", 0.0), ("_slow", DELAY_S)):
            with _proxied(replace(store, url=f"{store.url}/{delay_s:g}"), delay_s) as proxied:
                full_s, restore_s = _costs(root / f"daemon{name}", image, proxied)
            found |= {f"full{name}_s": full_s, f"restore{name}_s": restore_s}
    return found


def _costs(root: Path, image: Path, store: Store) -> tuple[float, float]:
    root.mkdir()
    linked, small, restored = root / "volume.img", root / "small.img", root / "restored.img"
    linked.hardlink_to(image)
    small.write_bytes(os.urandom(volume.CHUNK))
    with Daemon(root, threads=0, port=free_port(), more=store.section()) as daemon:
        # Nothing is shared with what was stored without the delay.
        daemon.post("/v1/backup-types", {"name": "far", "target": store.name, "is_deduplicated": False})
        jobs = []
        for path in (small, linked):  # The first one is the warm-up: connections, imports, the repository.
            daemon.post("/v1/volumes", {"name": path.stem, "path": str(path), "backup_type": "far"})
            os.sync()
            jobs.append(daemon.run("/v1/backups", {"volume": path.stem, "mode": "full"}, target=store.name))
        request = {"backup": jobs[-1]["backup_id"], "path": str(restored)}
        read_back = daemon.run("/v1/restores", request, target=store.name)
    restored.unlink()
    return jobs[-1]["wall_s"], read_back["wall_s"]


@contextmanager
def _proxied(store: Store, delay_s: float) -> Iterator[Store]:
    """Return the store behind a proxy, which runs in a thread of its own."""
    endpoint = urlsplit(str(store.options["endpoint"]))
    assert endpoint.hostname is not None
    assert endpoint.port is not None
    address = (endpoint.hostname, endpoint.port)
    ports: Future[int] = Future()
    ended = asyncio.Event()
    with ThreadPoolExecutor(1) as thread, asyncio.Runner() as runner:
        proxying = thread.submit(runner.run, _delay(address, delay_s, ports, ended))
        try:
            yield replace(store, options={**store.options, "endpoint": f"http://127.0.0.1:{ports.result(_START_S)}"})
        finally:
            runner.get_loop().call_soon_threadsafe(ended.set)
            proxying.result()


async def _delay(address: tuple[str, int], delay_s: float, ports: Future[int], ended: asyncio.Event) -> None:
    async with delaying(*address, delay_s=delay_s) as port:
        ports.set_result(port)
        await ended.wait()
