from __future__ import annotations

from pathlib import Path

import pytest

from chunker.errors import SourceError
from chunker.extents import Extent
from chunker.sources.base import ParentPoint
from chunker.sources.open import open_source
from chunker.testing import opened, read


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a volume%20?"
    path.write_bytes(b"content")
    return path


def test_path_is_taken_as_it_is(path: Path) -> None:
    with opened(open_source(path)) as point:
        assert read(point, Extent(0, 7)) == b"content"


def test_file_url_is_a_path(path: Path) -> None:
    with opened(open_source(path.as_uri())) as point:
        assert read(point, Extent(0, 7)) == b"content"


def test_given_changes_are_told(path: Path) -> None:
    with opened(open_source(path, changed_extents=[Extent(1, 2)])) as point:
        parent = ParentPoint(None, point.identity, point.size_bytes)
        assert point.changed_since(parent).extents == (Extent(1, 2),)


@pytest.mark.parametrize("location", ["volume", "./volume", "file://host/volume", "nbd:///volume", ""])
def test_anything_else_is_refused_by_name(location: str) -> None:
    with pytest.raises(SourceError, match="expected "):
        open_source(location)
