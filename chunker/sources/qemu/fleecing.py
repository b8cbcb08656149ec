"""Freezing a disk while its guest goes on: what the guest overwrites is copied aside first.

``filter``: a copy-before-write filter is put under the guest's device. When copying fails, or takes too long, the
filter gives the snapshot up and the guest goes on. ``job``: a backup job that copies nothing but what is
overwritten. When copying fails there, the guest's write fails, so all the space that it may take is reserved first.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chunker.errors import SourceUnreadable
from chunker.sources.qemu.disk import ACCESS, FILTER, FLEECE, FLEECE_FILE, JOB, Disk
from chunker.sources.qemu.qmp import Qmp, QmpError, action

_COPY_TIMEOUT_S = 10
_METADATA_BYTES = 16 * 1024 * 1024  # And a thousandth of the disk: the tables of a full qcow2 image.


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """Where overwritten data goes. ``is_reserved``: all that a job may need is set aside before it begins."""

    directory: Path
    is_reserved: bool = True


def prepare(qmp: Qmp, disk: Disk, space: Space, *, by_filter: bool) -> None:
    """Make the file and the nodes that are needed at the freeze. QmpError; SourceUnreadable when space is short."""
    path = disk.fleece_path(space.directory)
    size_bytes = disk.size_bytes if by_filter else 0
    _create(qmp, disk, driver="file", filename=str(path), size=size_bytes)
    with suppress(PermissionError):  # It is QEMU's. Before anything is in it: QEMU lets everybody read what it makes.
        path.chmod(0o600)
    file = {"driver": "file", "filename": str(path), "discard": "unmap"}
    if by_filter:
        qmp.run("blockdev-add", node_name=disk.name(FLEECE), **file)
        return
    qmp.run("blockdev-add", node_name=disk.name(FLEECE_FILE), **file)
    _create(qmp, disk, driver="qcow2", file=disk.name(FLEECE_FILE), size=disk.size_bytes)
    if space.is_reserved:
        _reserve(path, disk.size_bytes + disk.size_bytes // 1000 + _METADATA_BYTES)
    overlay = {"driver": "qcow2", "file": disk.name(FLEECE_FILE), "backing": disk.node, "discard": "unmap"}
    qmp.run("blockdev-add", node_name=disk.name(FLEECE), **overlay)


def job_action(disk: Disk) -> dict[str, Any]:
    """Return the action that freezes a prepared disk by a job."""
    return action("blockdev-backup", job_id=disk.name(JOB), device=disk.node, target=disk.name(FLEECE), sync="none")


def insert_filter(qmp: Qmp, disk: Disk) -> None:
    """Freeze a prepared disk by a filter: from when this returns, at the latest. QmpError."""
    qmp.run(
        "blockdev-add",
        driver="copy-before-write",
        node_name=disk.name(FILTER),
        file=disk.node,
        target=disk.name(FLEECE),
        on_cbw_error="break-snapshot",
        cbw_timeout=_COPY_TIMEOUT_S,
    )
    qmp.run("qom-set", path=disk.qom_path, property="drive", value=disk.name(FILTER))
    qmp.run("blockdev-add", driver="snapshot-access", node_name=disk.name(ACCESS), file=disk.name(FILTER))


def frozen_node(disk: Disk, *, by_filter: bool) -> str:
    """Return the node that shows the disk as it was when it was frozen."""
    return disk.name(ACCESS if by_filter else FLEECE)


def problem(qmp: Qmp, disk: Disk, *, by_filter: bool) -> str | None:
    """Say why what was read last may not have been of the frozen disk; None when it was."""
    if by_filter:
        for block in qmp.run("query-block"):
            if block.get("inserted", {}).get("node-name") == disk.name(FILTER):
                return None
        return "the filter that held it is not there any more"
    for job in qmp.run("query-jobs"):
        if job["id"] == disk.name(JOB):
            is_fine = job["status"] == "running" and "error" not in job
            return None if is_fine else f"the job that held it is {job['status']}: {job.get('error', 'no error')}"
    return "the job that held it has ended"


def _create(qmp: Qmp, disk: Disk, **options: Any) -> None:
    """Make an image by QEMU itself, so that it belongs to its user and needs no other program."""
    name = f"{disk.name(JOB)}c"
    qmp.run("blockdev-create", job_id=name, options=options)
    qmp.wait("JOB_STATUS_CHANGE", lambda data: data.get("id") == name and data.get("status") == "concluded")
    error = next((job.get("error") for job in qmp.run("query-jobs") if job["id"] == name), None)
    qmp.run("job-dismiss", id=name)
    if error:
        raise QmpError(f"an image for what the guest overwrites cannot be made: {error}")


def _reserve(path: Path, size_bytes: int) -> None:
    try:
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, size_bytes)
    except OSError as error:
        raise SourceUnreadable(
            f"{size_bytes} bytes cannot be reserved in {path.parent}: {(error.strerror or 'unknown error').lower()}\n"
            "HINT: without them a guest that overwrites more than there is room for would see its writes fail"
        ) from error
