"""The NBD server inside QEMU: there is one for each process, and others may use it too."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from chunker.sources.nbd.place import Place
from chunker.sources.qemu.qmp import Qmp, QmpError

_CONNECTIONS_MAX = 64
_TRIES = 3


def export(
    qmp: Qmp, *, monitor: str, directory: Path, running: str | None, name: str, node: str, bitmaps: list[dict[str, Any]]
) -> Place:
    """Export a node, and return where. ``running`` is the socket of a server that somebody else has started."""
    socket_path = running or str(directory / f"nbd-{hashlib.sha256(monitor.encode()).hexdigest()[:16]}.sock")
    wanted = {"type": "nbd", "id": name, "node_name": node, "name": name, "bitmaps": bitmaps}
    for _ in range(_TRIES):
        if running is None:
            _start(qmp, socket_path)
        try:
            qmp.run("block-export-add", **wanted)
        except QmpError as error:
            if "not running" not in str(error) or running is not None:
                raise
            continue  # Another backup has just ended, and the server with it.
        return Place(export=name, socket_path=socket_path)
    raise QmpError("the NBD server inside QEMU ends as soon as it is started")


def stop_if_unused(qmp: Qmp, *, running: str | None) -> None:
    """Stop the server that we started, unless it exports something still."""
    if running is None and not qmp.run("query-block-exports"):
        with suppress(QmpError):
            qmp.run("nbd-server-stop")


def _start(qmp: Qmp, socket_path: str) -> None:
    address = {"type": "unix", "data": {"path": socket_path}}
    try:
        qmp.run("nbd-server-start", addr=address, max_connections=_CONNECTIONS_MAX)
    except QmpError as error:
        if "already running" not in str(error):
            raise
