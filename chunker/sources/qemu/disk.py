"""One disk of a running QEMU: which node it is, what lies on top of it, and what earlier attempts left behind."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chunker.errors import SourceMissing
from chunker.sources.qemu.qmp import Qmp, QmpError

# The names of what we make in QEMU: "bdKIND-DISK-ATTEMPT", at most 31 characters.
FLEECE, FLEECE_FILE, FILTER, ACCESS, JOB, EXPORT, CHANGES = "fl", "ff", "cb", "sa", "jb", "ex", "ch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which disk an address names: by its ``node``, or by the id of the ``device`` that the guest sees."""

    node: str | None = None
    device: str | None = None

    def __str__(self) -> str:
        return f"node {self.node}" if self.node is not None else f"device {self.device}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Disk:
    """A disk as it was found. ``qom_path`` is the device that uses it, if it is a guest's."""

    node: str
    size_bytes: int
    image: str
    shown: Mapping[str, Any]
    qom_path: str | None
    attempt: str = field(default_factory=lambda: secrets.token_hex(6))

    @property
    def identity(self) -> str:
        """What tells this disk from any other one: node and image."""
        return f"qemu:{self.node}:{self.image}"

    def name(self, kind: str) -> str:
        """Return the name in QEMU of what this attempt makes."""
        return f"bd{kind}-{_tag(self.node)}-{self.attempt}"

    def fleece_path(self, directory: Path) -> Path:
        """Return the file that what the guest overwrites is copied to."""
        return directory / f"fleece-{_tag(self.node)}-{self.attempt}"


def find(qmp: Qmp, wanted: Wanted) -> Disk:
    """Return the disk as it is now; what a dead client left on top of it is looked through. SourceMissing, QmpError."""
    nodes = {node["node-name"]: node for node in qmp.run("query-named-block-nodes", flat=True)}
    devices = _devices(qmp, nodes)
    name = wanted.node or next((node for node, path in devices.items() if _is_of(path, wanted.device)), None)
    if name is None:
        raise SourceMissing(f"there is no device {wanted.device} with a medium; {_known(devices.values())}")
    if name not in nodes:
        raise SourceMissing(f"there is no node {name}; {_known(nodes)}")
    node = nodes[name]
    if node["ro"]:
        raise SourceMissing(f"node {name} is read-only: it is a backing file, or nothing writes to it")
    size_bytes, image = node["image"]["virtual-size"], node["file"]
    return Disk(node=name, size_bytes=size_bytes, image=image, shown=node, qom_path=devices.get(name))


def clean(qmp: Qmp, disk: Disk, directory: Path, *, only: str | None = None) -> None:
    """Take down what an attempt made, or with ``only`` None what any one did; never a bitmap of the chain."""
    end = f"-{_tag(disk.node)}-{only or ''}"

    def is_ours(name: str, kind: str) -> bool:
        return name.startswith(f"bd{kind}{end}")

    for export in qmp.run("query-block-exports"):
        if is_ours(export["id"], EXPORT) or is_ours(export["id"], CHANGES):
            _drop_export(qmp, export["id"])
    for job in qmp.run("query-jobs"):
        if is_ours(job["id"], JOB):
            _end_job(qmp, job["id"])
    nodes = [node["node-name"] for node in qmp.run("query-named-block-nodes", flat=True)]
    _drop(qmp, [name for name in nodes if is_ours(name, ACCESS)])
    filters = [name for name in nodes if is_ours(name, FILTER)]
    if filters and disk.qom_path is not None:
        qmp.run("qom-set", path=disk.qom_path, property="drive", value=disk.node)
    for kind in (FILTER, FLEECE, FLEECE_FILE):
        _drop(qmp, [name for name in nodes if is_ours(name, kind)])
    for bitmap in find(qmp, Wanted(node=disk.node)).shown.get("dirty-bitmaps", []):
        if is_ours(bitmap.get("name", ""), CHANGES):
            qmp.run("block-dirty-bitmap-remove", node=disk.node, name=bitmap["name"])
    remove_files(disk, directory, only=only)


def remove_files(disk: Disk, directory: Path, *, only: str | None = None) -> None:
    """Remove the files of attempts, whether or not QEMU is still there."""
    for path in directory.glob(f"fleece-{_tag(disk.node)}-{only or ''}*"):
        path.unlink(missing_ok=True)


def drop_export(qmp: Qmp, name: str) -> None:
    """Remove an export, if it is there."""
    if any(export["id"] == name for export in qmp.run("query-block-exports")):
        _drop_export(qmp, name)


def _end_job(qmp: Qmp, name: str) -> None:
    with suppress(QmpError):  # It has ended by itself.
        qmp.run("job-cancel", id=name)
    while status := next((job["status"] for job in qmp.run("query-jobs") if job["id"] == name), None):
        if status == "concluded":
            qmp.run("job-dismiss", id=name)
        else:
            qmp.wait("JOB_STATUS_CHANGE", lambda data: data.get("id") == name)


def _drop_export(qmp: Qmp, name: str) -> None:
    with suppress(QmpError):  # It is being removed already.
        qmp.run("block-export-del", id=name, mode="hard")
    qmp.wait("BLOCK_EXPORT_DELETED", lambda data: data.get("id") == name)


def _drop(qmp: Qmp, nodes: list[str]) -> None:
    for name in nodes:
        qmp.run("blockdev-del", node_name=name)


def _devices(qmp: Qmp, nodes: Mapping[str, Any]) -> dict[str, str]:
    """Return node -> QOM path of the device that uses it; a filter of ours on top of it is looked through."""
    found = {}
    for block in qmp.run("query-block"):
        name, device = block.get("inserted", {}).get("node-name"), block.get("qdev")
        if name is None or not device:
            continue
        if name.startswith(f"bd{FILTER}-"):
            name = _below(qmp, name)
        if name in nodes:
            found[name] = device if device.startswith("/") else f"/machine/peripheral/{device}"
    return found


def _below(qmp: Qmp, name: str) -> str | None:
    graph = qmp.run("x-debug-query-block-graph")
    names = {node["id"]: node.get("name") for node in graph["nodes"]}
    for edge in graph["edges"]:
        if names.get(edge["parent"]) == name and edge["name"] == "file":
            below: str | None = names.get(edge["child"])
            return below
    return None


def _is_of(path: str, device: str | None) -> bool:
    return path == device or f"{path}/".startswith(f"/machine/peripheral/{device}/")


def _known(names: Any) -> str:
    return f"QEMU has {', '.join(sorted(name for name in names if not name.startswith('#'))) or 'none'}"


def _tag(node: str) -> str:
    return hashlib.sha256(node.encode()).hexdigest()[:8]
