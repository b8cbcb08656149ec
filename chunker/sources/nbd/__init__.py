from __future__ import annotations

from chunker.sources.nbd.kind import NbdKind, NbdOptions
from chunker.sources.nbd.place import Place
from chunker.sources.nbd.source import NbdSource

__all__ = ["NbdKind", "NbdOptions", "NbdSource", "Place"]
