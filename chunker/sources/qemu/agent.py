"""The guest agent: asked to hold the guest's file systems still around the instant of the freeze."""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_SYNC_BYTE = b"\xff"
_LINE_BYTES_MAX = 1024 * 1024


class AgentSilent(Exception):
    """The agent does not do what it is asked, or not in time."""


@contextmanager
def quiesced(path: str | None, *, timeout_s: float) -> Iterator[str | None]:
    """Hold the guest's file systems while the context lasts; the value says why not, if they are not held.

    They are let go whatever happens. No agent asked for: nothing is done.
    """
    if path is None:
        yield None
        return
    agent, problem = None, None
    try:
        agent = _Agent(path, timeout_s)
        agent.run("guest-fsfreeze-freeze")
    except (AgentSilent, OSError) as error:
        problem = f"the guest's file systems were not held: {error}"
    try:
        yield problem
    finally:
        if agent is not None:
            # Also after a failure: it may have frozen, and only the answer was late.
            with suppress(AgentSilent, OSError):
                agent.run("guest-fsfreeze-thaw")
            agent.close()


class _Agent:
    def __init__(self, path: str, timeout_s: float) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._received = b""
        try:
            self._socket.settimeout(timeout_s)
            self._socket.connect(path)
            self._sync()
        except BaseException:
            self._socket.close()
            raise

    def run(self, command: str, **arguments: Any) -> Any:
        self._socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        answer = self._receive()
        if "error" in answer:
            raise AgentSilent(str(answer["error"].get("desc", "unknown error")))
        return answer.get("return")

    def close(self) -> None:
        self._socket.close()

    def _sync(self) -> None:
        """Skip what an earlier client left unread."""
        number = secrets.randbelow(2**31)
        request = {"execute": "guest-sync-delimited", "arguments": {"id": number}}
        self._socket.sendall(_SYNC_BYTE + json.dumps(request).encode() + b"\n")
        while self._receive().get("return") != number:
            pass

    def _receive(self) -> dict[str, Any]:
        # No file around the socket: that could not be read any more once an answer was late.
        try:
            while b"\n" not in self._received:
                received = self._socket.recv(65536)
                if not received or len(self._received) > _LINE_BYTES_MAX:
                    raise AgentSilent("the guest agent has hung up")
                self._received += received
        except TimeoutError as error:
            raise AgentSilent("the guest agent does not answer in time") from error
        line, _, self._received = self._received.partition(b"\n")
        try:
            answer = json.loads(line.rpartition(_SYNC_BYTE)[2])
        except ValueError as error:
            raise AgentSilent("the guest agent says what is no answer") from error
        if not isinstance(answer, dict):
            raise AgentSilent("the guest agent says what is no answer")
        return answer
