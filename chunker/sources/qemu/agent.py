"""The guest agent: asked to hold the guest's file systems still around the instant of the freeze."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from chunker.errors import SourceBusy, SourceUnreadable
from chunker.sources.freezing import holding

_PROGRAM = Path(__file__).with_name("agent_client.py")
_START_S = 5.0  # For the program itself, on a busy machine.


@dataclass(slots=True)
class Quiet:
    """Why the guest's file systems were not held, if they were not; known for certain after the context."""

    problem: str | None = None


@contextmanager
def quiesced(path: str | None, *, timeout_s: float) -> Iterator[Quiet]:
    """Hold the guest's file systems while the context lasts, if they can be held.

    They are let go whatever becomes of us: a process of its own talks with the agent. No agent: nothing is done.
    """
    quiet = Quiet()
    if path is None:
        yield quiet
        return
    try:
        with ExitStack() as held:
            try:
                # The agent has so long for each of its two answers.
                answer_timeout_s = 2 * timeout_s + _START_S
                held.enter_context(holding(_PROGRAM, path, timeout_s=timeout_s, answer_timeout_s=answer_timeout_s))
            except SourceUnreadable as error:
                quiet.problem = f"the guest's file systems were not held: {error}"
            yield quiet
    except SourceBusy as error:
        quiet.problem = f"the guest's file systems were not held long enough: {error}"
