"""A short conversation with QEMU's monitor (QMP). Blocks; for one thread at a time."""

from __future__ import annotations

import json
import socket
from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

_LINE_BYTES_MAX = 64 * 1024 * 1024


class QmpLost(Exception):
    """QEMU is gone, or does not answer in time."""


class QmpError(Exception):
    """QEMU has refused a command; the message is its own."""


class Qmp:
    """A monitor talks with one client at a time, so nobody keeps one longer than a few commands take."""

    def __init__(self, path: str, *, timeout_s: float) -> None:
        """Connect. QmpLost."""
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._events: deque[Mapping[str, Any]] = deque(maxlen=10_000)
        try:
            self._socket.settimeout(timeout_s)
            self._socket.connect(path)
            self._lines = self._socket.makefile("rb")
            greeting = self._receive("the greeting; another client may hold the monitor")
            version = greeting["QMP"]["version"]["qemu"]
            self.version = (int(version["major"]), int(version["minor"]))
            self.run("qmp_capabilities")
        except (OSError, KeyError, TypeError) as error:
            self._socket.close()
            reason = (error.strerror or str(error)).lower() if isinstance(error, OSError) else "what answers is no QEMU"
            raise QmpLost(f"the monitor {path} cannot be reached: {reason}") from error
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.close()
        self._socket.close()

    def run(self, command: str, **arguments: Any) -> Any:
        """Return what a command returns; "_" in the names of arguments stands for "-". QmpError, QmpLost."""
        plain = {name.replace("_", "-"): value for name, value in arguments.items()}
        self._send({"execute": command, "arguments": plain})
        while True:
            answer = self._receive(command)
            if "error" in answer:
                raise QmpError(str(answer["error"].get("desc", "unknown error")))
            if "return" in answer:
                return answer["return"]
            self._events.append(answer)

    def transaction(self, actions: list[dict[str, Any]]) -> None:
        """Do all of it or nothing. QmpError, QmpLost."""
        self.run("transaction", actions=actions)

    def wait(self, event: str, is_it: Callable[[Mapping[str, Any]], bool]) -> None:
        """Return once an event has come, before or after the call, whose data is the one. QmpLost."""
        while True:
            while self._events:
                seen = self._events.popleft()
                if seen.get("event") == event and is_it(seen.get("data", {})):
                    return
            self._events.append(self._receive(f"the event {event}"))

    def _send(self, message: Mapping[str, Any]) -> None:
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise QmpLost(f"the monitor {self._path} is lost: {error.strerror or error}") from error

    def _receive(self, awaited: str) -> dict[str, Any]:
        try:
            line = self._lines.readline(_LINE_BYTES_MAX)
        except TimeoutError as error:
            raise QmpLost(f"the monitor {self._path} does not answer in time with {awaited}") from error
        except OSError as error:
            raise QmpLost(f"the monitor {self._path} is lost: {error.strerror or error}") from error
        try:
            message = json.loads(line)
        except ValueError as error:
            raise QmpLost(f"the monitor {self._path} was closed at {awaited}") from error
        if not isinstance(message, dict):
            raise QmpLost(f"the monitor {self._path} says what is no message at {awaited}")
        return message


def action(kind: str, **arguments: Any) -> dict[str, Any]:
    """Return one action of a transaction."""
    return {"type": kind, "data": {name.replace("_", "-"): value for name, value in arguments.items()}}
