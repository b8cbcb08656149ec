"""A writer in a process of its own that races for keys: a second daemon, as far as a store can tell.

``python -m tests.support.racer`` reads JSON, one document a line. The first one says where to write (``url``,
``options``) and in whose ``name``; each of the others is a ``key`` and a ``size_bytes``. It answers each with a line.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, aclosing, contextmanager
from pathlib import Path
from typing import IO, Any

from targets.base import Target
from targets.errors import ObjectExists, Unsupported
from targets.open import open_target
from targets.wrappers.retry import Retry

READY, WON, LOST, CANNOT_TELL = "ready", "won", "lost", "cannot tell"
_ROOT = Path(__file__).parents[2]


class Racers:
    """Writers with these names, which are as many processes."""

    def __init__(self, processes: Mapping[str, subprocess.Popen[str]]) -> None:
        self._processes = processes

    def race(self, key: str, *, size_bytes: int) -> dict[str, str]:
        """Let all of them write a key at once, and only if it is absent; return what became of each."""
        return self._ask({name: {"key": key, "size_bytes": size_bytes} for name in self._processes})

    def kill(self) -> None:
        """End all of them at once, whatever they are doing; what they were asked is answered with nothing."""
        for process in self._processes.values():
            process.kill()

    def connect(self, url: str, options: Mapping[str, Any]) -> None:
        """Let all of them connect to a target."""
        answers = self._ask({name: {"name": name, "url": url, "options": options} for name in self._processes})
        assert set(answers.values()) == {READY}, answers

    def _ask(self, documents: Mapping[str, Mapping[str, object]]) -> dict[str, str]:
        """Send each of them a document, then read the answers."""
        lines = {name: f"{json.dumps(document)}\n" for name, document in documents.items()}
        for name, line in lines.items():  # Nothing but these few bytes keeps one waiting for the other.
            _pipe(self._processes[name].stdin).write(line)
        return {name: _pipe(self._processes[name].stdout).readline().strip() for name in lines}


@contextmanager
def racing(url: str, options: Mapping[str, Any], names: Sequence[str]) -> Iterator[Racers]:
    """Start writers to one target, all connected; they end with the context."""
    with ExitStack() as stack:
        racers = Racers({name: stack.enter_context(_started()) for name in names})
        racers.connect(url, options)
        yield racers


def _started() -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.support.racer"]
    return subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)


def body(name: str, size_bytes: int) -> bytes:
    """Return what the writer of that name stores."""
    return (name.encode() * (size_bytes // len(name) + 1))[:size_bytes]


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


async def _serve() -> None:
    place = json.loads(sys.stdin.readline())
    async with aclosing(open_target(place["url"], **place["options"])) as bare:
        target = Retry(bare, retries_max=14, timeout_s=15, delay_s=0.001)
        await target.put(f"ready/{place['name']}", b"connected")
        _answer(READY)
        for line in sys.stdin:
            document = json.loads(line)
            _answer(await _race(target, document["key"], body(place["name"], document["size_bytes"])))


async def _race(target: Target, key: str, content: bytes) -> str:
    try:
        await target.put(key, content, if_absent=True)
    except ObjectExists:
        return LOST
    except Unsupported:
        return CANNOT_TELL
    return WON


def _answer(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_serve())
