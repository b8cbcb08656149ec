"""A volume whose points in time an operator's command makes, and whose changes it tells."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from chunker.errors import SourceError, SourceUnreadable
from chunker.extents import Extent, between, clip
from chunker.sources.base import Changes, ParentPoint
from chunker.sources.external.answers import Answer, OpenedAnswer
from chunker.sources.external.command import Command
from chunker.sources.file import FilePoint, FileSource


class ExternalSource:
    """A volume that a command knows by its ``parameters``. What is read lies below one of ``paths``."""

    def __init__(
        self, command: Command, parameters: Mapping[str, str], *, paths: tuple[Path, ...], direct_io: bool = False
    ) -> None:
        self.parameters = parameters
        self._command = command
        self._paths = paths
        self._direct_io = direct_io

    def open(self) -> ExternalPoint:
        """Let the command take a point in time, and open what it names. What either of the two raises."""
        question: dict[str, Any] = {"parameters": dict(self.parameters)}
        opened = Answer(self._command.name, self._command.ask("open", question)).opened()
        question |= {"path": opened.path, "identity": opened.identity, "token": opened.token}
        try:
            self._check_path(opened.path)
            point = FileSource(opened.path, direct_io=self._direct_io).open()
        except BaseException:
            for action in ("rollback", "close"):  # Best effort; the error that is raised says more.
                with suppress(SourceError):
                    self._command.ask(action, question)
            raise
        return ExternalPoint(self._command, question, opened, point)

    def _check_path(self, path: str) -> None:
        real = Path(os.path.realpath(path))
        if not any(real.is_relative_to(os.path.realpath(allowed)) for allowed in self._paths):
            expected = ", ".join(map(str, self._paths))
            raise SourceUnreadable(
                f"command {self._command.name} answered path: {path!r}, expected one below {expected}"
            )


class ExternalPoint:
    """A file or device that holds still, which the command has named."""

    def __init__(self, command: Command, question: Mapping[str, Any], opened: OpenedAnswer, point: FilePoint) -> None:
        self._command = command
        self._question = question
        self._point = point
        self._tells_data = opened.tells_data
        self._data: tuple[Extent, ...] | None = None
        self._lock = threading.Lock()
        self._is_ended = self._is_closed = False
        self.size_bytes = point.size_bytes
        self.identity = f"external:{command.name}:{opened.identity}"
        self.token = opened.token

    def changed_since(self, parent: ParentPoint) -> Changes:
        if parent.identity != self.identity:
            return Changes(None, f"the volume is now {self.identity}, the parent is of {parent.identity}")
        if parent.token is None or self.token is None:
            return Changes(None, f"{'the parent' if parent.token is None else 'the volume'} has no token")
        answer = self._ask("changes", parent={"token": parent.token, "size_bytes": parent.size_bytes})
        if (reason := answer.reason()) is not None:
            return Changes(None, reason)
        extents = answer.extents(size_bytes=self.size_bytes)
        # Whoever told the extents may have thought of the bytes that the parent had; growth is a change too.
        growth = between(parent.size_bytes, self.size_bytes)
        return Changes(clip((*extents, growth), Extent(0, self.size_bytes)))

    def data_extents(self, within: Extent) -> Iterator[Extent]:
        if not self._tells_data:
            return self._point.data_extents(within)
        with self._lock:
            if self._data is None:
                self._data = self._ask("data").extents(size_bytes=self.size_bytes)
            return iter(clip(self._data, within))

    def read_into(self, offset_bytes: int, buffer: memoryview) -> None:
        self._point.read_into(offset_bytes, buffer)

    def check(self) -> None:
        """SourceChanged unless what is read is unwritten, and the command still takes it for the volume."""
        try:
            self._point.check()
        finally:
            # It may know better what happened.
            self._ask("check")

    def commit(self) -> None:
        """Tell the command that later changes are told from here. SourceError."""
        self._end("commit")

    def rollback(self) -> None:
        """Tell the command that this point is of no use. SourceError."""
        self._end("rollback")

    def _end(self, action: str) -> None:
        """Do what the first ending says: a point that was committed stays so."""
        if not self._is_ended:
            self._ask(action)
            self._is_ended = True

    def close(self) -> None:
        """Let the command release what it holds. SourceError."""
        self._point.close()
        if not self._is_closed:
            self._is_closed = True
            self._ask("close")

    def _ask(self, action: str, **more: Any) -> Answer:
        return Answer(self._command.name, self._command.ask(action, {**self._question, **more}))
