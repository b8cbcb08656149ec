"""QEMU's storage daemon keeps the contract of sources that track changes, and leaves nothing behind."""

from __future__ import annotations

from contextlib import closing

import pytest

from chunker.extents import Extent
from chunker.sources.base import Source
from chunker.testing import HOLE, SIZE_BYTES, TrackingContract, opened, read
from tests.support.qemu import make_qemu_source
from tests.support.servers.storage_daemon import MakeStorageDaemon


class TestStorageDaemon(TrackingContract):
    @pytest.fixture(autouse=True)
    def _daemon(self, make_storage_daemon: MakeStorageDaemon) -> None:
        self.make_storage_daemon = make_storage_daemon

    def make_source(self, content: bytes) -> Source:
        self.daemon = self.make_storage_daemon(len(content))
        with closing(self.daemon.guest()) as guest:
            guest.write(0, content[: HOLE.offset_bytes])
            guest.write(HOLE.end_bytes, content[HOLE.end_bytes :])
        return make_qemu_source(self.daemon)

    def make_missing(self) -> Source:
        return make_qemu_source(self.make_storage_daemon(65536), "disk9")

    def swap(self, source: Source) -> None:
        self.daemon.kill()
        self.daemon.create(2 * SIZE_BYTES)
        self.daemon.start()

    def write(self, source: Source, offset_bytes: int, content: bytes) -> None:
        with closing(self.daemon.guest()) as guest:
            guest.write(offset_bytes, content)


def test_nothing_but_the_bitmap_stays_behind(make_storage_daemon: MakeStorageDaemon) -> None:
    daemon = make_storage_daemon(1024 * 1024)
    with opened(make_qemu_source(daemon)) as point:
        assert daemon.traces() != []
        read(point, Extent(0, 65536))
    assert daemon.traces() == []
    assert len(daemon.bitmaps()) == 1
