"""Images of a real cluster keep the contract of sources, with a map of objects, without, and as clones."""

from __future__ import annotations

from typing import Any

import pytest

from chunker.extents import Extent
from chunker.sources.base import Source
from chunker.testing import SIZE_BYTES, ResizingContract
from tests.support.rbd_images import FAST, LAYERING, Images


class TestRbd(ResizingContract):
    features = FAST
    histories = 1

    @pytest.fixture(autouse=True)
    def _place(self, images: Images) -> None:
        self.images = images

    def make_source(self, content: bytes) -> Source:
        return self.images.source(self.images.create(content, features=self.features))

    def make_missing(self) -> Source:
        return self.images.source("nothing")

    def reopened(self, source: Source) -> Source:
        return self.images.source(name_of(source))

    def swap(self, source: Source) -> None:
        name = name_of(source)
        other = self.images.create(self.images.read(name))
        self.images.rename(name, f"{name}-before")
        self.images.rename(other, name)

    def write(self, source: Source, offset_bytes: int, content: bytes) -> None:
        self.images.write(name_of(source), offset_bytes, content)

    def discard(self, source: Source, extent: Extent) -> None:
        self.images.discard(name_of(source), extent)

    def resize(self, source: Source, size_bytes: int) -> None:
        self.images.resize(name_of(source), size_bytes)


class TestRbdWithoutObjectMap(TestRbd):
    features = LAYERING


class TestRbdClone(TestRbd):
    """What it has not written itself is its parent's."""

    def make_source(self, content: bytes) -> Source:
        parent = self.images.create(content, features=self.features)
        clone = self.images.clone(parent, features=self.features)
        self.images.write(parent, 0, bytes(SIZE_BYTES))  # Which is none of the clone's business.
        return self.images.source(clone)


def name_of(source: Any) -> str:
    name: str = source.place.image
    return name
