"""What is on a disk after the power went: every system call of the local target, in order, and what each promises.

Only a sync makes anything last. Writes to a file that was not synced since, and names in a directory that was
not, may be there or not, each by itself and in any order; of a write any part.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from targets.local.files import LocalFiles

_ROOT = 0


@dataclass(frozen=True, slots=True)
class Event:
    """One change of the disk, or with ``kind`` "note" something that somebody was told by then."""

    kind: str
    node: int = 0
    name: str = ""
    child: int | None = None
    content: Any = b""


@dataclass(slots=True)
class _File:
    synced: bytes = b""
    writes: list[tuple[int, bytes]] = field(default_factory=list)
    size: int = 0


@dataclass(slots=True)
class _Directory:
    synced: dict[str, int] = field(default_factory=dict)
    changes: list[tuple[str, int | None]] = field(default_factory=list)


class RecordedFiles(LocalFiles):
    """Does what it is told, and writes down what that did to the disk. One root; any thread."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._lock = threading.Lock()
        self._open: dict[int, int] = {}
        self._names: dict[tuple[int, str], int] = {}
        self._last = _ROOT

    def note(self, content: Any) -> None:
        """Remember what somebody was told at this point: it has to be true from here on."""
        with self._lock:
            self.events.append(Event("note", content=content))

    def open(self, name: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:  # type: ignore[override]  # a static method there
        with self._lock:
            descriptor = os.open(name, flags, mode, dir_fd=dir_fd)
            self._open[descriptor] = _ROOT if dir_fd is None else self._child(dir_fd, name, is_new=flags & os.O_CREAT)
            return descriptor

    def close(self, descriptor: int) -> None:
        with self._lock:
            del self._open[descriptor]
            os.close(descriptor)

    def mkdir(self, name: str, mode: int, *, dir_fd: int | None = None) -> None:  # type: ignore[override]  # a static method there
        with self._lock:
            os.mkdir(name, mode, dir_fd=dir_fd)
            if dir_fd is not None:
                self._child(dir_fd, name, is_new=True, kind="mkdir")

    def write(self, descriptor: int, body: memoryview) -> int:
        with self._lock:
            count = os.write(descriptor, body)
            self.events.append(Event("write", self._open[descriptor], content=bytes(body[:count])))
            return count

    def fsync(self, descriptor: int) -> None:
        with self._lock:
            self.events.append(Event("fsync", self._open[descriptor]))

    def link(self, source: str, name: str, *, src_dir_fd: int, dst_dir_fd: int, follow_symlinks: bool) -> None:  # type: ignore[override]  # a static method there
        with self._lock:
            os.link(source, name, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd, follow_symlinks=follow_symlinks)
            self._name(dst_dir_fd, name, self._names[self._open[src_dir_fd], source])

    def replace(self, source: str, name: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:  # type: ignore[override]  # a static method there
        with self._lock:
            os.replace(source, name, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
            self._name(dst_dir_fd, name, self._names[self._open[src_dir_fd], source])
            self._name(src_dir_fd, source, None)

    def unlink(self, name: str, *, dir_fd: int) -> None:  # type: ignore[override]  # a static method there
        with self._lock:
            os.unlink(name, dir_fd=dir_fd)
            self._name(dir_fd, name, None)

    def _child(self, directory: int, name: str, *, is_new: int, kind: str = "create") -> int:
        key = self._open[directory], name
        if not is_new:
            return self._names[key]
        self._last += 1
        self.events.append(Event(kind, child=self._last))
        self._name(directory, name, self._last)
        return self._last

    def _name(self, directory: int, name: str, child: int | None) -> None:
        key = self._open[directory], name
        if child is None:
            del self._names[key]
        else:
            self._names[key] = child
        self.events.append(Event("name", key[0], name, child))


class Disk:
    """The disk as events leave it; ``survivors`` are the objects that a power cut may leave of it."""

    def __init__(self) -> None:
        self._directories = {_ROOT: _Directory()}
        self._files: dict[int, _File] = {}

    def apply(self, event: Event) -> None:
        """Let one thing happen."""
        if event.kind == "create" and event.child is not None:
            self._files[event.child] = _File()
        elif event.kind == "mkdir" and event.child is not None:
            self._directories[event.child] = _Directory()
        elif event.kind == "write":
            written = self._files[event.node]
            written.writes.append((written.size, event.content))
            written.size += len(event.content)
        elif event.kind == "name":
            self._directories[event.node].changes.append((event.name, event.child))
        elif event.kind == "fsync":
            self._sync(event.node)

    def survivors(self, random: Random, kept: float) -> dict[str, bytes]:
        """Return key -> content after a power cut in which each unsynced change survived with chance ``kept``."""
        return dict(self._below(_ROOT, "", lambda: random.random() < kept, random))

    def _sync(self, node: int) -> None:
        if node in self._files:
            synced = self._files[node]
            synced.synced, synced.writes = b"".join([synced.synced, *(part for _, part in synced.writes)]), []
        else:
            directory = self._directories[node]
            directory.synced, directory.changes = _changed(directory.synced, directory.changes), []

    def _below(self, node: int, path: str, survives: Callable[[], bool], random: Random) -> Iterator[tuple[str, bytes]]:
        directory = self._directories[node]
        changes = [change for change in directory.changes if survives()]
        for name, child in sorted(_changed(directory.synced, changes).items()):
            if child in self._files:
                yield path + name, self._content(self._files[child], survives, random)
            elif path or name != ".tmp":
                yield from self._below(child, f"{path}{name}/", survives, random)

    def _content(self, stored: _File, survives: Callable[[], bool], random: Random) -> bytes:
        content = bytearray(stored.synced)
        for offset, part in stored.writes:
            if survives():
                length = random.choice([len(part), random.randrange(len(part) + 1)])
                content.extend(bytes(max(0, offset - len(content))))
                content[offset : offset + length] = part[:length]
        return bytes(content)


def _changed(names: dict[str, int], changes: list[tuple[str, int | None]]) -> dict[str, int]:
    changed = dict(names)
    for name, child in changes:
        if child is None:
            changed.pop(name, None)
        else:
            changed[name] = child
    return changed
