"""Where a volume is -> its source."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from chunker.errors import SourceError
from chunker.extents import Extent
from chunker.sources.base import Source
from chunker.sources.extents import GivenExtents
from chunker.sources.file import FileSource


def open_source(
    location: str | Path,
    *,
    allow_live: bool = False,
    direct_io: bool = False,
    changed_extents: Iterable[Extent] | None = None,
) -> Source:
    """Return the source at an absolute path or ``file:`` URL, with its changes if given. SourceError."""
    scheme, path = _split(str(location))
    factory = _FACTORIES.get(scheme)
    if factory is None:
        raise SourceError(f"source {location}: expected an absolute path or one of {', '.join(_FACTORIES)}")
    source = factory(path, allow_live=allow_live, direct_io=direct_io)
    return source if changed_extents is None else GivenExtents(source, changed_extents)


_FACTORIES = {"file": FileSource}


def _split(location: str) -> tuple[str, str]:
    if location.startswith("/"):
        return "file", location  # A path is taken as it is: it may hold any character, "%" and "?" too.
    url = urlsplit(location)
    return (url.scheme, unquote(url.path)) if url.path.startswith("/") and not url.netloc else ("", location)
