"""Who may talk to one QEMU when: a monitor serves one client at a time, and a disk one attempt."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakValueDictionary

from chunker.errors import SourceBusy, SourceChanged, SourceError, SourceMissing, SourceUnreadable
from chunker.sources.qemu.qmp import Qmp, QmpError, QmpLost


class Monitor:
    """The monitor of one QEMU, shared by all points of its disks. Thread-safe."""

    def __init__(self, path: str, *, timeout_s: float) -> None:
        self.path = path
        self._timeout_s = timeout_s
        self._turn = threading.Lock()
        # Weak, so that a point which its job had to give up does not keep the disk for ever.
        self._frozen: WeakValueDictionary[str, object] = WeakValueDictionary()

    @contextmanager
    def talk(self) -> Iterator[Qmp]:
        """Hold a conversation. QmpLost also when nobody lets us have a turn."""
        if not self._turn.acquire(timeout=self._timeout_s):
            raise QmpLost(f"the monitor {self.path} is in use by another backup for too long")
        try:
            with Qmp(self.path, timeout_s=self._timeout_s) as qmp:
                yield qmp
        finally:
            self._turn.release()

    def take(self, node: str, holder: object) -> None:
        """Take the one place that a disk has, for as long as ``holder`` lives at most. SourceBusy."""
        if node in self._frozen:
            raise SourceBusy(f"node {node} of {self.path} is being backed up by another job of this daemon")
        self._frozen[node] = holder

    def give_back(self, node: str) -> None:
        """Let the next attempt have the disk; may be called twice."""
        self._frozen.pop(node, None)


@contextmanager
def translated(what: str, *, lost: type[SourceError] = SourceUnreadable) -> Iterator[None]:
    """Turn the failures of a conversation into ours."""
    try:
        yield
    except QmpLost as error:
        raise lost(f"{what}: {error}") from error
    except QmpError as error:
        raise SourceUnreadable(f"{what}: QEMU says: {error}") from error


@contextmanager
def checking(what: str) -> Iterator[None]:
    """Turn whatever fails while a point is checked into SourceChanged: QEMU was restarted, or somebody interfered."""
    try:
        yield
    except (QmpLost, QmpError, SourceMissing, SourceUnreadable) as error:
        raise SourceChanged(f"{what} is not what was opened any more: {error}") from error
