"""The daemon with a sampler beside it: how much processor time went into which part of it.

``python -m bench.profiled FILE serve --config ...`` is ``backupd serve ...``, and FILE has, all the time, what each
part has taken so far. A sample gives the time that a thread has taken since the last one, as the system counts it, to
the part that the thread is in; so the sum is exact, and the shares are as good as there are many samples.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType

from backupd.__main__ import main

_SAMPLE_S = 0.005
_WRITE_S = 0.2
_TASKS = Path("/proc/self/task")

_LOOP = "loop and sockets"
_LIBRARY = "threads of a library"
_REST = "everything else"
# What a file belongs to by a part of its path; the innermost frame that belongs to something decides.
_PARTS = {
    "/targets/": "driver",
    "/aiohttp/": "driver",
    "/chunker/": "chunks",
    "/backupd/pipeline/": "chunks",
    "/backupd/catalog/": "catalog",
    "/sqlalchemy/": "catalog",
}
_ALL = (*dict.fromkeys(_PARTS.values()), _LOOP, _LIBRARY, _REST)


class Sampler:
    """Adds up the processor time of this process by part, and writes it to a file, until it is to stop."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._taken_s = dict.fromkeys(_ALL, 0.0)
        self._last_s: dict[int, float] = {}
        self.stopped = threading.Event()

    def run(self) -> None:
        write_at_s = 0.0
        while not self.stopped.wait(_SAMPLE_S):
            self._sample()
            if time.monotonic() >= write_at_s:
                self._write()
                write_at_s = time.monotonic() + _WRITE_S

    def _sample(self) -> None:
        frames = sys._current_frames()  # noqa: SLF001 - this is what it is for
        threads = {thread.native_id: thread.ident or 0 for thread in threading.enumerate()}
        for task_id, now_s in _cpu_s():
            taken_s = now_s - self._last_s.get(task_id, 0.0)
            self._last_s[task_id] = now_s
            if task_id != threading.get_native_id() and taken_s > 0:
                self._taken_s[_part(threads.get(task_id), frames)] += taken_s

    def _write(self) -> None:
        beside = self._path.with_suffix(".new")
        beside.write_text(json.dumps(self._taken_s))
        beside.replace(self._path)


def _cpu_s() -> Iterator[tuple[int, float]]:
    for task in _TASKS.iterdir():
        try:
            yield int(task.name), int((task / "schedstat").read_text().split()[0]) / 1e9
        except OSError:
            continue  # It has ended.


def _part(thread_id: int | None, frames: Mapping[int, FrameType]) -> str:
    if thread_id is None:
        return _LIBRARY
    frame = frames.get(thread_id)
    while frame is not None:
        for place, part in _PARTS.items():
            if place in frame.f_code.co_filename:
                return part
        frame = frame.f_back
    return _LOOP if thread_id == threading.main_thread().ident else _REST


def _main(path: Path, arguments: list[str]) -> int:
    sampler = Sampler(path)
    with ThreadPoolExecutor(1) as thread:
        thread.submit(sampler.run)
        try:
            return main(arguments)
        finally:
            sampler.stopped.set()


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1]), sys.argv[2:]))
