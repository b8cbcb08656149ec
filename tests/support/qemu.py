"""Sources of the storage daemon of a test."""

from __future__ import annotations

from typing import Any

from chunker.sources.nbd.client import Effort
from chunker.sources.qemu.disk import Wanted
from chunker.sources.qemu.fleecing import Space
from chunker.sources.qemu.monitor import Monitor
from chunker.sources.qemu.source import QemuSource, Site
from tests.support.servers.storage_daemon import DISK, StorageDaemon


def make_site(daemon: StorageDaemon, **options: Any) -> Site:
    """Return how the disks of a storage daemon are read."""
    return Site(
        monitor=Monitor(str(daemon.monitor), timeout_s=20),
        space=Space(directory=daemon.fleecing),
        nbd_socket=str(daemon.live),
        effort=Effort(timeout_s=20, retries_max=1),
        **options,
    )


def make_qemu_source(daemon: StorageDaemon, disk: str = DISK, **options: Any) -> QemuSource:
    """Return the source of one disk."""
    return QemuSource(make_site(daemon, **options), Wanted(node=disk))


SECTION = """
[sources.qemu]
sockets = ["{root}"]
fleecing_dir = "{root}/fleecing"
timeout_s = 20
"""
