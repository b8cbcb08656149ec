"""A mounted file system that is held still for a moment, and let go whatever becomes of us.

A process of its own holds it: it lets go when it is told to, when this process is gone, or when the time is up.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chunker.errors import SourceBusy, SourceUnreadable

_PROGRAM = Path(__file__).with_name("freezer.py")
_THAW_TIMEOUT_S = 5.0


@contextmanager
def frozen(mount: Path, *, timeout_s: float) -> Iterator[None]:
    """Freeze the file system that is mounted at ``mount``; who writes to it waits meanwhile.

    SourceUnreadable when it cannot be frozen, SourceBusy when that or what is done meanwhile takes too long.
    The file system that this process logs, or clones, to must never be frozen.
    """
    with holding(_PROGRAM, str(mount), timeout_s=timeout_s, answer_timeout_s=timeout_s):
        yield


@contextmanager
def holding(program: Path, what: str, *, timeout_s: float, answer_timeout_s: float) -> Iterator[None]:
    """Let one of our programs hold ``what``: it says "frozen", and lets go when its standard input ends.

    As ``frozen``. The program has ``answer_timeout_s`` to say so, or what is wrong.
    """
    command = [sys.executable, "-I", "-S", str(program), what, str(timeout_s)]
    process = subprocess.Popen(  # noqa: S603 - our own program, and a path that the operator allows
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin, process.stdout:
        try:
            answer = _answer(process.stdout.fileno(), answer_timeout_s)
            if answer != b"frozen":
                raise SourceUnreadable(f"{what} cannot be frozen: {answer.decode(errors='replace')}")
            yield
        finally:
            process.stdin.close()
            # One that still waits for writers cannot be stopped: it thaws at once when it has its way.
            is_over = _ended(process) == 0
        if not is_over:
            raise SourceBusy(f"{what} was frozen for less than it took: {timeout_s} s were up")


def _answer(descriptor: int, timeout_s: float) -> bytes:
    ready, _, _ = select.select([descriptor], [], [], timeout_s)
    return os.read(descriptor, 1000).strip() if ready else f"no answer within {timeout_s} s".encode()


def _ended(process: subprocess.Popen[bytes]) -> int | None:
    try:
        return process.wait(_THAW_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return None
