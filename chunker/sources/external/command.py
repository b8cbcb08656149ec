"""An operator's command, asked in JSON: started without a shell, given a deadline, its output bounded."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from chunker.errors import SourceUnreadable

_READ_BYTES = 64 * 1024
_COMPLAINT_BYTES = 2000  # Of what it says on its standard error, the end.
_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What is run for a kind of volume. ``name`` is what the operator calls it."""

    name: str
    arguments: tuple[str, ...] = field(repr=False)  # They may hold what is nobody's business.
    timeout_s: float
    output_bytes_max: int

    def ask(self, action: str, question: Mapping[str, Any]) -> Mapping[str, Any]:
        """Run the command and return its answer, a JSON object. SourceUnreadable."""
        asked = json.dumps({"format": _FORMAT, "action": action, **question}).encode()
        try:
            process = subprocess.Popen(  # noqa: S603 - the operator's own command, as a list: no shell sees it
                self.arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            raise self._failure(action, f"cannot be started: {(error.strerror or 'unknown error').lower()}") from error
        with process:
            try:
                output, complaint = _Conversation(process, asked, self.output_bytes_max).run(self.timeout_s)
                code = process.wait()
            except _Broken as broken:
                raise self._failure(action, str(broken)) from None
            finally:
                # Whatever it started goes with it, also when it has ended itself.
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        if code != 0:
            said = complaint.decode(errors="replace").strip() or "nothing"
            raise self._failure(action, f"ended with {code} and said: {said}")
        return self._answer(action, output)

    def _answer(self, action: str, output: bytes) -> Mapping[str, Any]:
        try:
            answer = json.loads(output)
        except (ValueError, RecursionError) as error:
            raise self._failure(action, f"answered {_shown(output)}, expected JSON") from error
        if not isinstance(answer, dict):
            raise self._failure(action, f"answered {_shown(output)}, expected a JSON object")
        return answer

    def _failure(self, action: str, what: str) -> SourceUnreadable:
        return SourceUnreadable(f"command {self.name} ({action}) {what}")


class _Broken(Exception):
    """The command broke a bound; says which one."""


class _Conversation:
    """Writes the question and reads both outputs at once, so that nobody waits for a full pipe."""

    def __init__(self, process: subprocess.Popen[bytes], question: bytes, output_bytes_max: int) -> None:
        self._process = process
        self._left = memoryview(question)
        self._output_bytes_max = output_bytes_max
        self._output = bytearray()
        self._complaint = bytearray()

    def run(self, timeout_s: float) -> tuple[bytes, bytes]:
        """Return what it wrote to standard output and the end of its standard error. _Broken."""
        deadline_s = monotonic() + timeout_s
        pipes: dict[Any, tuple[int, Callable[[int], bool]]] = {
            self._process.stdin: (selectors.EVENT_WRITE, self._write),
            self._process.stdout: (selectors.EVENT_READ, self._read),
            self._process.stderr: (selectors.EVENT_READ, self._hear),
        }
        with selectors.DefaultSelector() as selector:
            for pipe, (event, act) in pipes.items():
                os.set_blocking(pipe.fileno(), False)
                selector.register(pipe, event, act)
            while selector.get_map():
                ready = selector.select(max(deadline_s - monotonic(), 0))
                if not ready:
                    raise _Broken(f"did not end within {timeout_s} s")
                for key, _ in ready:
                    if key.data(key.fd):
                        selector.unregister(key.fileobj)
                        key.fileobj.close()  # type: ignore[union-attr] # a pipe, see above
        try:
            self._process.wait(max(deadline_s - monotonic(), 0))
        except subprocess.TimeoutExpired:
            raise _Broken(f"did not end within {timeout_s} s") from None
        return bytes(self._output), bytes(self._complaint)

    def _write(self, pipe: int) -> bool:
        try:
            self._left = self._left[os.write(pipe, self._left) :]
        except BrokenPipeError:
            return True  # It wants to know no more.
        return not self._left

    def _read(self, pipe: int) -> bool:
        read = os.read(pipe, _READ_BYTES)
        self._output += read
        if len(self._output) > self._output_bytes_max:
            raise _Broken(f"answered more than {self._output_bytes_max} bytes")
        return not read

    def _hear(self, pipe: int) -> bool:
        read = os.read(pipe, _READ_BYTES)
        self._complaint = (self._complaint + read)[-_COMPLAINT_BYTES:]
        return not read


def _shown(output: bytes) -> str:
    text = output[:100].decode(errors="replace")
    return f"{text!r}{'...' if len(output) > 100 else ''}" if output else "nothing"
