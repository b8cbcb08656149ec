"""Images in the cluster of the tests: made, written to and looked at past the source."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from chunker.extents import Extent
from chunker.sources.base import Source
from chunker.sources.open import Sources
from tests.support.loop_device import required
from tests.support.servers.ceph import POOL, Ceph
from tests.support.servers.process import Missing

ORDER = 16  # Objects of 64 KiB, so that a small image has many.
OBJECT_BYTES = 1 << ORDER
LAYERING = 1
FAST = LAYERING | 4 | 8 | 16  # With exclusive-lock, object-map and fast-diff.
_names = itertools.count(1)


class Images:
    """Images of the pool, outside of any namespace."""

    def __init__(self, ceph: Ceph, ioctx: Any) -> None:
        import rbd  # noqa: PLC0415 - missing on some machines

        self.ceph = ceph
        self._ioctx = ioctx
        self._image = rbd.Image
        self._rbd = rbd.RBD()

    def create(
        self, content: bytes = b"", *, size_bytes: int | None = None, features: int = FAST, order: int = ORDER
    ) -> str:
        """Make an image and return its name."""
        name = f"image-{next(_names)}"
        size_bytes = len(content) if size_bytes is None else size_bytes
        self._rbd.create(self._ioctx, name, size_bytes, order=order, old_format=False, features=features)
        if content:
            self.write(name, 0, content)
        return name

    def clone(self, parent: str, *, features: int = FAST) -> str:
        """Make an image that shares the data of another one as it is now."""
        name = f"image-{next(_names)}"
        with self.opened(parent) as image:
            image.create_snap(name)
            image.protect_snap(name)
        self._rbd.clone(self._ioctx, parent, name, self._ioctx, name, features=features)
        return name

    def rename(self, name: str, new_name: str) -> None:
        self._rbd.rename(self._ioctx, name, new_name)

    def write(self, name: str, offset_bytes: int, content: bytes) -> None:
        if content:
            with self.opened(name) as image:
                image.write(content, offset_bytes)

    def discard(self, name: str, extent: Extent) -> None:
        """Zero a range; objects that are covered whole are removed."""
        if extent.length_bytes:
            with self.opened(name) as image:
                image.write_zeroes(extent.offset_bytes, extent.length_bytes)

    def resize(self, name: str, size_bytes: int) -> None:
        with self.opened(name) as image:
            image.resize(size_bytes)

    def read(self, name: str) -> bytes:
        with self.opened(name) as image:
            return bytes(image.read(0, image.size()))

    def snapshots(self, name: str) -> list[str]:
        with self.opened(name) as image:
            return [one["name"] for one in image.list_snaps()]

    @contextmanager
    def opened(self, name: str) -> Iterator[Any]:
        """Return an image as librbd has it."""
        with self._image(self._ioctx, name) as image:
            yield image

    def source(self, name: str, **options: Any) -> Source:
        """Return what another process would: it knows nothing of the snapshots that this one reads."""
        made = {"pools": [POOL], "conf": str(self.ceph.conf)}
        return Sources({"rbd": made | options}).open(f"rbd:{POOL}/{name}")


@pytest.fixture(scope="session")
def images(request: pytest.FixtureRequest, ceph: Ceph) -> Iterator[Images]:
    """Return the images of the cluster."""
    with required(request.config):
        try:
            import rados  # noqa: PLC0415 - missing on some machines
        except ImportError as error:
            raise Missing(f"{error}: make servers") from error
    cluster = rados.Rados(conffile=str(ceph.conf), rados_id="admin")
    cluster.connect()
    try:
        with cluster.open_ioctx(POOL) as ioctx:
            yield Images(ceph, ioctx)
    finally:
        cluster.shutdown()
