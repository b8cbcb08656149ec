"""Reading an NBD export to nothing: our client beside nbdcopy, from the same server, taking turns in one run.

``python -m bench.nbd [MIB]`` serves an image of random bytes, which the page cache holds, by ``qemu-nbd`` on a Unix
socket, and prints the medians of wall and processor seconds of each and their ratio: at least 0.9 is the aim.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from chunker.sources.nbd import NbdSource, Place
from chunker.sources.nbd.client import Effort

MIB = 1024 * 1024
SPAN = 2 * MIB
ROUNDS = 7
THREADS = os.cpu_count() or 1


def main() -> None:
    """Measure and print."""
    size_bytes = int(sys.argv[1] if len(sys.argv) > 1 else 1024) * MIB
    with tempfile.TemporaryDirectory(prefix="nbd-") as directory:
        image, path = Path(directory, "image"), Path(directory, "nbd.sock")
        with image.open("wb") as file:
            for _ in range(size_bytes // MIB):
                file.write(os.urandom(MIB))
        command = ["qemu-nbd", "-r", "-f", "raw", "-t", "-e", "16", "-k", str(path), str(image)]
        with subprocess.Popen(command) as server:
            try:
                while not path.exists():
                    time.sleep(0.05)
                compare(path, size_bytes)
            finally:
                server.terminate()


def compare(path: Path, size_bytes: int) -> None:
    """Take turns, so that both have the same noise."""
    found: dict[str, list[tuple[float, float]]] = {"nbdcopy": [], "ours": []}
    for _ in range(ROUNDS):
        found["nbdcopy"].append(measured(lambda: nbdcopy(path)))
        found["ours"].append(measured(lambda: ours(path)))
    print(f"{size_bytes // MIB} MiB, {THREADS} threads, medians of {ROUNDS}")
    wall = {name: statistics.median(one[0] for one in times) for name, times in found.items()}
    cpu = {name: statistics.median(one[1] for one in times) for name, times in found.items()}
    for name in found:
        speed = size_bytes / wall[name] / 1e9
        print(f"{name:<8} {speed:6.2f} GB/s  wall {wall[name]:.3f} s  client cpu {cpu[name]:.3f} s")
    print(f"ours / nbdcopy: wall {wall['nbdcopy'] / wall['ours']:.2f}, cpu {cpu['nbdcopy'] / cpu['ours']:.2f}")


def measured(work: Callable[[], None]) -> tuple[float, float]:
    """Return wall and processor seconds of this process and of the children that it waited for."""
    before, started = cpu_s(), time.perf_counter()
    work()
    return time.perf_counter() - started, cpu_s() - before


def cpu_s() -> float:
    """Return the processor time that was used so far."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def nbdcopy(path: Path) -> None:
    """Read all of it by the C client of libnbd, which asks for holes like us."""
    subprocess.run(["nbdcopy", f"nbd+unix:///?socket={path}", "null:"], check=True)


def ours(path: Path) -> None:
    """Read all of it as a backup does: spans, by as many threads as there are cores."""
    point = NbdSource(Place(socket_path=str(path)), effort=Effort(connections_max=THREADS)).open()
    local = threading.local()

    def read(offset_bytes: int) -> None:
        if not hasattr(local, "buffer"):
            local.buffer = memoryview(bytearray(SPAN))
        point.read_into(offset_bytes, local.buffer[: min(SPAN, point.size_bytes - offset_bytes)])

    try:
        with ThreadPoolExecutor(THREADS) as threads:
            for _ in threads.map(read, range(0, point.size_bytes, SPAN)):
                pass
    finally:
        point.close()


if __name__ == "__main__":
    main()
