"""Every source keeps the contract, plain and wrapped."""

from __future__ import annotations

from pathlib import Path

import pytest

from chunker.extents import Extent
from chunker.sources.base import Source
from chunker.sources.extents import GivenExtents
from chunker.sources.file import FileSource
from chunker.sources.memory import MemoryVolume
from chunker.testing import HOLE, SIZE_BYTES, ResizingContract, SourceContract
from tests.support.loop_device import AttachLoop


class TestFile(SourceContract):
    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.path = tmp_path / "volume"

    def make_source(self, content: bytes) -> Source:
        self.path.write_bytes(content)
        return FileSource(self.path)

    def make_missing(self) -> Source:
        return FileSource(self.path)

    def swap(self, source: Source) -> None:
        other = self.path.with_name("other")
        other.write_bytes(self.path.read_bytes())
        other.replace(self.path)


class TestLiveFile(TestFile):
    def make_source(self, content: bytes) -> Source:
        self.path.write_bytes(content)
        return FileSource(self.path, allow_live=True)


class TestFileByDirectIo(TestFile):
    def make_source(self, content: bytes) -> Source:
        self.path.write_bytes(content)
        return FileSource(self.path, direct_io=True)


class TestSparseFile(TestFile):
    def make_source(self, content: bytes) -> Source:
        with self.path.open("wb") as file:
            file.write(content[: HOLE.offset_bytes])
            file.seek(HOLE.end_bytes)
            file.write(content[HOLE.end_bytes :])
        return FileSource(self.path)

    def test_hole_is_not_data(self) -> None:
        with self._open() as point:
            assert list(point.data_extents(Extent(0, SIZE_BYTES))) == [
                Extent(0, HOLE.offset_bytes),
                Extent(HOLE.end_bytes, SIZE_BYTES - HOLE.end_bytes),
            ]


class TestBlockDevice(TestFile):
    direct_io = False

    @pytest.fixture(autouse=True)
    def _loop(self, attach_loop: AttachLoop) -> None:
        self.attach_loop = attach_loop

    def make_source(self, content: bytes) -> Source:
        self.path.write_bytes(content)
        self.link = self.path.with_name("device")
        self.link.symlink_to(self.attach_loop(self.path))
        return FileSource(self.link, direct_io=self.direct_io)

    def swap(self, source: Source) -> None:
        other = self.path.with_name("other")
        other.write_bytes(self.path.read_bytes())
        self.link.unlink()
        self.link.symlink_to(self.attach_loop(other))


class TestBlockDeviceByDirectIo(TestBlockDevice):
    direct_io = True


class TestGivenExtents(TestFile):
    def make_source(self, content: bytes) -> Source:
        self.path.write_bytes(content)
        return GivenExtents(FileSource(self.path), [Extent(10, 20)])


class TestMemory(ResizingContract):
    def make_source(self, content: bytes) -> Source:
        volume = MemoryVolume(len(content))
        volume.write(0, content)
        volume.discard(HOLE.offset_bytes, HOLE.length_bytes)
        return volume

    def make_missing(self) -> Source:
        volume = MemoryVolume(0)
        volume.remove()
        return volume

    def swap(self, source: Source) -> None:
        assert isinstance(source, MemoryVolume)
        source.identity = "memory:another"

    def write(self, source: Source, offset_bytes: int, content: bytes) -> None:
        assert isinstance(source, MemoryVolume)
        source.write(offset_bytes, content)

    def discard(self, source: Source, extent: Extent) -> None:
        assert isinstance(source, MemoryVolume)
        source.discard(extent.offset_bytes, extent.length_bytes)

    def resize(self, source: Source, size_bytes: int) -> None:
        assert isinstance(source, MemoryVolume)
        source.resize(size_bytes)
