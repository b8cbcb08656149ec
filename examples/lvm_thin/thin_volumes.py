#!/usr/bin/env python3
"""External tracking of LVM thin volumes: a thin snapshot for each point in time, and what changed by thin_delta.

usage: thin_volumes.py --group GROUP, a question of docs/sources/external.md on standard input.
It needs lvm2, dmsetup and thin-provisioning-tools, and root.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET  # What is parsed is the output of our own tools.

_SECTOR_BYTES = 512
_COLUMNS = "lv_name,lv_uuid,pool_lv,thin_id,lv_size"


class Refused(Exception):
    """What cannot be done; becomes the answer ``error``."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.answer = {"error": {"kind": kind, "message": message}}


class Volume(NamedTuple):
    """A thin volume, or a snapshot of one, as LVM has it."""

    name: str
    uuid: str
    pool: str
    thin_id: int
    size_bytes: int

    @property
    def token(self) -> str:
        """What finds it again: the uuid is never given twice, the thin id is."""
        return f"{self.name}:{self.uuid}"


class Group:
    """The thin volumes of a volume group."""

    def __init__(self, name: str, *, devices: Path, locks: Path) -> None:
        self._name = name
        self._devices = devices
        self._locks = locks

    def volume(self, name: str) -> Volume:
        """Return a thin volume by its name."""
        found = [one for one in self._listed() if one.name == name]
        if not found:
            raise Refused("missing", f"there is no thin volume {name} in {self._name}")
        return found[0]

    def take(self, volume: Volume) -> Volume:
        """Make a snapshot that is active and read-only."""
        name = f"backupd-{os.urandom(8).hex()}"
        options = ["--setactivationskip", "n", "--activate", "y", "--permission", "r", "--addtag", _tag(volume)]
        _run("lvcreate", "--snapshot", *options, "--name", name, f"{self._name}/{volume.name}")
        return self.volume(name)

    def snapshots(self, volume: Volume) -> list[Volume]:
        """Return the snapshots that this program made of a volume."""
        return self._listed("--select", f"tags={_tag(volume)}")

    def path(self, snapshot: Volume) -> Path:
        """Return where it can be read."""
        return self._devices / self._name / snapshot.name

    def deactivate(self, snapshot: Volume) -> None:
        """Take the device away; the snapshot stays."""
        _run("lvchange", "--activate", "n", f"{self._name}/{snapshot.name}")

    def remove(self, snapshot: Volume) -> None:
        """Remove a snapshot."""
        _run("lvremove", "--force", f"{self._name}/{snapshot.name}")

    def changes(self, old: Volume, new: Volume) -> Iterator[list[int]]:
        """Yield what two snapshots have not in common."""
        with self._metadata(new) as device:
            told = _run("thin_delta", "-m", "--snap1", str(old.thin_id), "--snap2", str(new.thin_id), str(device))
        yield from different(told, new.size_bytes)

    def data(self, snapshot: Volume) -> Iterator[list[int]]:
        """Yield what a snapshot has blocks for."""
        with self._metadata(snapshot) as device:
            told = _run("thin_dump", "-m", "--dev-id", str(snapshot.thin_id), str(device))
        yield from mapped(told, snapshot.size_bytes)

    @contextmanager
    def _metadata(self, volume: Volume) -> Iterator[Path]:
        """Hold the metadata of the pool still. A pool can do that once at a time, so others wait."""
        pool = f"{_escaped(self._name)}-{_escaped(volume.pool)}"
        with (self._locks / f"backupd-{pool}").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            _run("dmsetup", "message", f"{pool}-tpool", "0", "reserve_metadata_snap")
            try:
                yield self._devices / "mapper" / f"{pool}_tmeta"
            finally:
                _run("dmsetup", "message", f"{pool}-tpool", "0", "release_metadata_snap")

    def _listed(self, *select: str) -> list[Volume]:
        options = ["--reportformat", "json", "--units", "b", "--nosuffix", "--options", _COLUMNS]
        rows = json.loads(_run("lvs", *options, *select, self._name))["report"][0]["lv"]
        return [
            Volume(row["lv_name"], row["lv_uuid"], row["pool_lv"], int(row["thin_id"]), int(row["lv_size"]))
            for row in rows
            if row["thin_id"]
        ]


def different(told: str, size_bytes: int) -> Iterator[list[int]]:
    """Yield [offset, length] of all that ``thin_delta`` does not call the same."""
    pool = ET.fromstring(told)  # noqa: S314 - of our own tools
    for one in pool.iterfind("diff/*"):
        if one.tag != "same":
            yield from _range(pool, one, "begin", "length", size_bytes)


def mapped(told: str, size_bytes: int) -> Iterator[list[int]]:
    """Yield [offset, length] of all that ``thin_dump`` tells a block for."""
    pool = ET.fromstring(told)  # noqa: S314 - of our own tools
    for one in pool.iterfind("device/*"):
        if one.tag == "range_mapping":
            yield from _range(pool, one, "origin_begin", "length", size_bytes)
        else:
            yield from _range(pool, one, "origin_block", "", size_bytes)


def _range(pool: ET.Element, one: ET.Element, begin: str, length: str, size_bytes: int) -> Iterator[list[int]]:
    block = int(pool.attrib["data_block_size"]) * _SECTOR_BYTES
    start = int(one.attrib[begin]) * block
    end = min(start + int(one.attrib.get(length, 1)) * block, size_bytes)  # The last block may reach beyond.
    if start < end:
        yield [start, end - start]


def answer(asked: dict[str, Any], group: Group) -> dict[str, Any]:
    """Return the answer to a question."""
    if asked["format"] != 1:
        raise Refused("unreadable", f"format {asked['format']} is not known")
    volume = group.volume(asked["parameters"]["volume"])
    if asked["action"] == "open":
        taken = group.take(volume)
        return {"path": str(group.path(taken)), "identity": volume.uuid, "token": taken.token, "tells_data": True}
    by_token = {one.token: one for one in group.snapshots(volume)}
    current = by_token.get(asked["token"])
    if asked["action"] in ("commit", "rollback", "close"):
        end(asked["action"], current, by_token, group)
        return {}
    if volume.uuid != asked["identity"] or current is None:
        raise Refused("changed", f"{volume.name} is not what was opened, or its snapshot {asked['token']} is gone")
    if asked["action"] == "changes":
        parent = by_token.get(asked["parent"]["token"])
        if parent is None:
            return {"extents": None, "reason": f"the snapshot of the parent, {asked['parent']['token']}, is gone"}
        return {"extents": [*group.changes(parent, current)]}
    return {"extents": [*group.data(current)]} if asked["action"] == "data" else {}


def end(action: str, current: Volume | None, by_token: dict[str, Volume], group: Group) -> None:
    """Do what ends a point; what is gone already is as it should be."""
    if current is None:
        return
    if action == "close":
        group.deactivate(current)
    elif action == "rollback":
        group.remove(current)
    else:
        for one in by_token.values():
            if one != current:
                group.remove(one)


def _tag(volume: Volume) -> str:
    return f"backupd_{volume.uuid}"


def _escaped(name: str) -> str:
    """Return a name as device mapper has it."""
    return name.replace("-", "--")


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a list, and our own
    if done.returncode:
        raise Refused("unreadable", f"{command[0]} failed: {done.stderr.strip()[-1000:] or done.returncode}")
    return done.stdout


def main() -> None:
    """Answer one question."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--group", required=True)
    parser.add_argument("--devices", type=Path, default=Path("/dev"))
    parser.add_argument("--locks", type=Path, default=Path("/run/lock"))
    options = parser.parse_args()
    group = Group(options.group, devices=options.devices, locks=options.locks)
    try:
        said = answer(json.load(sys.stdin), group)
    except Refused as refused:
        said = refused.answer
    json.dump(said, sys.stdout)


if __name__ == "__main__":
    main()
