"""The operator's section ``[sources.reflink]``, and the images that it allows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chunker.errors import InvalidAddress, SourceMisconfigured
from chunker.sources.address import Address
from chunker.sources.base import Source
from chunker.sources.options import read_options
from chunker.sources.reflink.source import ReflinkSource


@dataclass(frozen=True, slots=True, kw_only=True)
class ReflinkOptions:
    """Where images may lie, and where file systems are mounted that may be frozen while they are cloned."""

    directories: tuple[str, ...]
    freezable: tuple[str, ...] = ()
    freeze_timeout_s: float = 10.0

    def __post_init__(self) -> None:
        for name, paths in (("directories", self.directories), ("freezable", self.freezable)):
            for path in paths:
                if not path.startswith("/"):
                    raise SourceMisconfigured(f"option {name}: {path!r}, expected absolute paths")
        if not 0.1 <= self.freeze_timeout_s <= 60:
            raise SourceMisconfigured(f"option freeze_timeout_s: {self.freeze_timeout_s}, expected 0.1 to 60")


class ReflinkKind:
    """Image files below the directories that the operator allows."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        """SourceMisconfigured names the option that is wrong."""
        self._options = read_options("reflink", ReflinkOptions, given)

    def check(self, address: Address) -> None:
        address.only_options("freeze")
        if address.host or address.port is not None or not address.path.startswith("/"):
            raise InvalidAddress("expected reflink:// and an absolute path")
        allowed = [Path(os.path.realpath(directory)) for directory in self._options.directories]
        real = Path(os.path.realpath(address.path))
        if not any(real.is_relative_to(directory) for directory in allowed):
            raise InvalidAddress(f"expected a file below {', '.join(self._options.directories) or 'no directory'}")
        freeze = address.options.get("freeze")
        if freeze is not None and freeze not in self._options.freezable:
            expected = ", ".join(self._options.freezable) or "nothing, as the operator allows none"
            raise InvalidAddress(f"option freeze: {freeze}, expected {expected}")

    def open(self, address: Address, *, allow_live: bool, direct_io: bool) -> Source:
        """Return the image. A clone holds still, so ``allow_live`` matters only where there can be none."""
        freeze = address.options.get("freeze")
        return ReflinkSource(
            # Links were followed by the check; the clones lie beside the file itself.
            os.path.realpath(address.path),
            allow_live=allow_live,
            direct_io=direct_io,
            freeze=None if freeze is None else Path(freeze),
            freeze_timeout_s=self._options.freeze_timeout_s,
        )
