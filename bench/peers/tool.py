"""What is measured: one protocol for every tool, ours among them. bench/peers/README.md says how to add one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from bench.peers.images import Image


@dataclass(frozen=True, slots=True)
class Cost:
    """What a step took: processor time of all processes together, memory of the largest of them."""

    wall_s: float
    cpu_s: float
    memory_peak_bytes: int


class Tool(ABC):
    """Backs up, verifies and restores ``disk``, in a repository of its own below ``root``.

    A subclass has a name for the table, and says in ``about`` what else the reader must know: its version and
    how it is set up. What a tool cannot do returns None. A failure is an exception: it costs the tool its row.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    is_encrypted: ClassVar[bool] = False

    def __init__(self, root: Path, installed: Path) -> None:
        self.root = root
        self.installed = installed
        self.repository = root / "repository"
        self.disk = root / "disk.img"

    def open(self) -> None:
        """Make the repository, and start what has to run. Not measured."""
        self.repository.mkdir()

    def close(self) -> None:  # noqa: B027 - most tools have nothing to end
        """End what runs; called whenever ``open`` was."""

    @abstractmethod
    def back_up(self, image: Image) -> Cost:
        """Store the disk, which holds the image now: if that has a parent, what has changed since."""

    def verify(self) -> Cost | None:
        """Read back and check all that is stored."""
        return None

    @abstractmethod
    def restore(self, image: Image, to: Path) -> Cost:
        """Write what was stored of the image to a file that is not there yet."""
