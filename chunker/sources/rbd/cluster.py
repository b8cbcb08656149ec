"""A connection to a Ceph cluster, and what its errors mean."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import rados
import rbd

from chunker.errors import SourceBusy, SourceError, SourceMissing, SourceUnreadable
from chunker.sources.rbd.place import Place

_MISSING = (errno.ENOENT, errno.ENXIO)
_KINDS: dict[int, type[SourceError]] = {
    **dict.fromkeys(_MISSING, SourceMissing),
    errno.EBUSY: SourceBusy,
}
_HINTS = {
    errno.EROFS: "\nHINT: of a mirrored image only the primary can be backed up",
    errno.ESHUTDOWN: "\nHINT: the cluster has blocklisted this client",
    errno.ETIMEDOUT: "\nHINT: the cluster does not answer; option timeout_s says how long that may last",
}


class Cluster:
    """One client of a cluster, and the place in it where an image is.

    Every request to an OSD or a monitor is given up after ``timeout_s``, so nothing here hangs with the cluster.
    """

    def __init__(self, place: Place, *, conf: str, user: str, keyring: str | None, timeout_s: float) -> None:
        """Connect. SourceMissing when there is no such pool, SourceUnreadable."""
        self.place = place
        bounds = dict.fromkeys(
            ("rados_osd_op_timeout", "rados_mon_op_timeout", "client_mount_timeout"), str(max(round(timeout_s), 1))
        )
        more = {} if keyring is None else {"keyring": keyring}
        with ExitStack() as opening, translated(place, "the cluster cannot be reached"):
            cluster = rados.Rados(conffile=conf, rados_id=user, conf=bounds | more)
            opening.callback(cluster.shutdown)
            cluster.connect()
            self.fsid: str = cluster.get_fsid()
            with translated(place, f"pool {place.pool} cannot be used"):
                self._ioctx = cluster.open_ioctx(place.pool)
            opening.callback(self._ioctx.close)
            self._ioctx.set_namespace(place.namespace)
            self.pool_id: int = self._ioctx.get_pool_id()
            self._closing = opening.pop_all()

    def image(self, *, image_id: str | None = None, snapshot: str | None = None, writable: bool = False) -> rbd.Image:
        """Open the image of that id, else the one that has the name now. What rbd raises."""
        named = {"name": self.place.image} if image_id is None else {"image_id": image_id}
        return rbd.Image(self._ioctx, snapshot=snapshot, read_only=not writable, **named)

    def images(self) -> Iterator[tuple[str, int]]:
        """Yield name and size of each image of the place; one that is gone meanwhile, or broken, is passed over."""
        with translated(self.place, "the images cannot be listed"):
            names = rbd.RBD().list(self._ioctx)
        for name in names:
            try:
                with rbd.Image(self._ioctx, name, read_only=True) as image:
                    size_bytes = image.size()
            except rbd.Error:
                continue
            yield name, size_bytes

    def close(self) -> None:
        """Disconnect."""
        self._closing.close()


@contextmanager
def translated(place: Place, failure: str) -> Iterator[None]:
    """Turn the errors of librados and librbd into ours, named by what could not be done."""
    try:
        yield
    except (rbd.Error, rados.Error) as error:
        number = errno_of(error)
        reason = os.strerror(number).lower() if number else str(error)
        raise _KINDS.get(number, SourceUnreadable)(f"{place}: {failure}: {reason}{_HINTS.get(number, '')}") from error


def is_missing(error: Exception) -> bool:
    """Tell whether it says that something does not exist."""
    return errno_of(error) in _MISSING


def errno_of(error: Exception) -> int:
    """Return the number of the error; 0 when it has none."""
    number: int | None = getattr(error, "errno", None)
    return abs(number or 0)
