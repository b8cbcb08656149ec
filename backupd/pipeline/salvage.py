"""What of a backup could not be restored, gathered while the rest is."""

from __future__ import annotations

from backupd.condition import Ranges, joined
from backupd.errors import CorruptObject

_RANGES_KEPT = 4096
_REASONS_MAX = 100


class DamagedRanges:
    """Which ranges are zeros because nobody has them any more, and what is wrong with the objects they were in."""

    def __init__(self) -> None:
        self._ranges: list[tuple[int, int]] = []
        self.damaged_bytes = 0
        self.reasons: list[str] = []

    def add(self, offset: int, length: int, error: CorruptObject) -> None:
        """Note a range."""
        self.damaged_bytes += length
        self._ranges.append((offset, length))
        if len(self._ranges) > _RANGES_KEPT:
            self._ranges = [*joined(self._ranges)]
        if len(self.reasons) < _REASONS_MAX and str(error) not in self.reasons:
            self.reasons.append(str(error))

    @property
    def ranges(self) -> Ranges:
        """Offset and length of each, ascending; of more than a thousand the last ones are told as one."""
        return joined(self._ranges)
