"""A program that holds the file systems of a guest still, by its agent, until its standard input ends.

usage: agent_client.py SOCKET SECONDS. It imports nothing of ours, so that it starts at once. It ends with 0 when it was
told to let go, with 1 when the guest could not be held, and with 3 when the time was up.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

_SYNC_BYTE = b"\xff"
_LINE_BYTES_MAX = 1024 * 1024


class AgentSilent(Exception):
    """The agent does not do what it is asked, or not in time."""


def main() -> int:
    """Do it, and return how it ended."""
    path, timeout_s = sys.argv[1], float(sys.argv[2])
    # Whoever stops the daemon's processes must not leave the guest as it is.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connected:
        try:
            connected.settimeout(timeout_s)
            connected.connect(path)
            agent = _Agent(connected)
            agent.sync()
            return _hold(agent, timeout_s)
        except (AgentSilent, OSError) as error:
            os.write(1, str(error).encode())
            return 1


def _hold(agent: _Agent, timeout_s: float) -> int:
    try:
        agent.run("guest-fsfreeze-freeze")
        os.write(1, b"frozen")
        ready, _, _ = select.select([0], [], [], timeout_s)
        return 0 if ready else 3
    finally:
        # Also after a failure: it may have frozen, and only the answer was late.
        with suppress(AgentSilent, OSError):
            agent.run("guest-fsfreeze-thaw")


class _Agent:
    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._received = b""

    def run(self, command: str) -> None:
        self._socket.sendall(json.dumps({"execute": command, "arguments": {}}).encode() + b"\n")
        answer = self._receive()
        if "error" in answer:
            raise AgentSilent(str(answer["error"].get("desc", "unknown error")))

    def sync(self) -> None:
        """Skip what an earlier client left unread."""
        number = int.from_bytes(os.urandom(3), "big")
        request = {"execute": "guest-sync-delimited", "arguments": {"id": number}}
        self._socket.sendall(_SYNC_BYTE + json.dumps(request).encode() + b"\n")
        while self._receive().get("return") != number:
            pass

    def _receive(self) -> Mapping[str, Any]:
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


if __name__ == "__main__":
    sys.exit(main())
