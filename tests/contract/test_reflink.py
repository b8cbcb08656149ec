"""Image files on file systems that clone keep the contract of sources, and so do those where nothing can be cloned."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from chunker.extents import Extent
from chunker.sources.base import Source
from chunker.sources.reflink.source import ReflinkSource
from chunker.testing import ResizingContract, SourceContract
from tests.support.cloning_file_systems import MountCloning
from tests.support.volumes import punch_hole


@pytest.fixture(scope="module", params=["xfs", "btrfs"])
def file_system(request: pytest.FixtureRequest, tmp_path_factory: Any, mount_cloning: MountCloning) -> Path:
    return mount_cloning(request.param, tmp_path_factory.mktemp(request.param))


class TestReflink(ResizingContract):
    @pytest.fixture(autouse=True)
    def _place(self, file_system: Path, tmp_path: Path) -> None:
        self.directory = file_system / tmp_path.name
        self.directory.mkdir()

    def make_source(self, content: bytes) -> Source:
        path = self.directory / f"image-{len(list(self.directory.iterdir()))}"
        path.write_bytes(content)
        return ReflinkSource(path)

    def make_missing(self) -> Source:
        return ReflinkSource(self.directory / "nothing")

    def reopened(self, source: Source) -> Source:
        return ReflinkSource(path_of(source))

    def swap(self, source: Source) -> None:
        path = path_of(source)
        other = path.with_name("other")
        other.write_bytes(path.read_bytes())
        other.replace(path)

    def write(self, source: Source, offset_bytes: int, content: bytes) -> None:
        with path_of(source).open("r+b") as file:
            os.pwrite(file.fileno(), content, offset_bytes)

    def discard(self, source: Source, extent: Extent) -> None:
        punch_hole(path_of(source), extent)

    def resize(self, source: Source, size_bytes: int) -> None:
        os.truncate(path_of(source), size_bytes)


class TestReflinkByDirectIo(TestReflink):
    def make_source(self, content: bytes) -> Source:
        return ReflinkSource(path_of(super().make_source(content)), direct_io=True)


class TestUncloned(SourceContract):
    """On a file system that cannot clone, an image is a plain file."""

    @pytest.fixture(autouse=True)
    def _place(self) -> Any:
        self.directory = Path(f"/dev/shm/backupd-uncloned-{os.getpid()}")  # tmpfs, on every Linux
        self.directory.mkdir()
        yield
        for path in sorted(self.directory.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        self.directory.rmdir()

    def make_source(self, content: bytes) -> Source:
        path = self.directory / "image"
        path.write_bytes(content)
        return ReflinkSource(path)

    def make_missing(self) -> Source:
        return ReflinkSource(self.directory / "nothing")

    def swap(self, source: Source) -> None:
        other = self.directory / "other"
        other.write_bytes((self.directory / "image").read_bytes())
        other.replace(self.directory / "image")


def path_of(source: Source) -> Path:
    assert isinstance(source, ReflinkSource)
    return source.path
