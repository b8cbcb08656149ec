from __future__ import annotations

from chunker.sources.qemu.kind import QemuKind, QemuOptions
from chunker.sources.qemu.source import QemuSource, open_group

__all__ = ["QemuKind", "QemuOptions", "QemuSource", "open_group"]
