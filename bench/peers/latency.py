"""A store that is far away: 50 ms added to each request, next to the same store without."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

from bench import volume
from bench.daemon import Daemon
from bench.peers.delay import delaying
from bench.stores import KINDS, Store
from tests.support.servers.process import free_port

DELAY_S = 0.05
_START_S = 10.0


def measure(root: Path, *, size_bytes: int, rounds: int) -> dict[str, float]:
    """Back up and restore through a proxy that adds nothing and through one that adds ``DELAY_S``. Missing.

    They take turns in who is first. ``answer_s`` and ``answer_slow_s`` are how long the smallest request takes: they
    show that the delay is there.
    """
    image = root / "volume.img"
    volume.make(image, size_bytes)
    taken: dict[str, list[float]] = {}
    (root / "store").mkdir()
    ways = [("", 0.0), ("_slow", DELAY_S)]
    with KINDS["s3"](root / "store") as store:
        for number in range(rounds):
            for name, delay_s in ways if number % 2 == 0 else reversed(ways):
                place = f"{number}{name}"
                with _proxied(replace(store, url=f"{store.url}/{place}"), delay_s) as proxied:
                    costs = _answer_s(proxied), *_costs(root / place, image, proxied)
                for step, cost_s in zip(("answer", "full", "restore"), costs, strict=True):
                    taken.setdefault(f"{step}{name}_s", []).append(cost_s)
    return {"size_bytes": size_bytes, **{name: statistics.median(costs) for name, costs in taken.items()}}


def _answer_s(store: Store) -> float:
    """Ask for what nobody may see, so that the store has little to do."""
    started_s = time.perf_counter()
    with suppress(HTTPError):
        urlopen(str(store.options["endpoint"])).close()
    return time.perf_counter() - started_s


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
