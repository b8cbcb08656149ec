"""A thin pool without device mapper: the programs of LVM as far as the example calls them.

What they tell of the pool's metadata is told by the real tools, from real metadata that ``thin_restore`` has made.
Run as ``thin_pool.py DIRECTORY PROGRAM ARGUMENTS``, by scripts of those names.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

BLOCK_BYTES = 64 * 1024
GROUP = "vg-0"
POOL = "pool"
PROGRAMS = ("lvcreate", "lvs", "lvchange", "lvremove", "dmsetup", "thin_delta", "thin_dump")
_TOOLS = "/usr/sbin:/sbin:/usr/bin:/bin"


class ThinPool:
    """A pool in a directory; each process loads and stores it anew."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.devices = directory / "dev"
        self._data = directory / "data"
        self._state = directory / "state.json"
        self.volumes: dict[str, Any] = {}
        self._blocks = self._last_id = 0
        if self._state.exists():
            self.volumes, self._blocks, self._last_id = json.loads(self._state.read_text())

    def create(self, name: str, size_bytes: int, **fields: Any) -> Any:
        self._last_id += 1
        volume = {"uuid": os.urandom(16).hex(), "id": self._last_id, "size": size_bytes, "tag": "", "map": {}} | fields
        self.volumes[name] = volume
        return volume

    def write(self, name: str, offset: int, content: bytes) -> None:
        """Write as the kernel does: to a new block where the old one is shared, or not there."""
        volume = self.volumes[name]
        for start in range(offset // BLOCK_BYTES * BLOCK_BYTES, offset + len(content), BLOCK_BYTES):
            number, block = str(start // BLOCK_BYTES), bytearray(self.block(volume, start // BLOCK_BYTES))
            first, end = max(offset, start), min(offset + len(content), start + BLOCK_BYTES)
            block[first - start : end - start] = content[first - offset : end - offset]
            if self._is_shared(volume, number):
                volume["map"][number] = self._blocks
                self._blocks += 1
            with self._data.open("r+b" if self._data.exists() else "w+b") as file:
                os.pwrite(file.fileno(), block, volume["map"][number] * BLOCK_BYTES)

    def discard(self, name: str, offset: int, length: int) -> None:
        """Give whole blocks back, and zero the rest."""
        for start in range(offset // BLOCK_BYTES * BLOCK_BYTES, offset + length, BLOCK_BYTES):
            first, end = max(offset, start), min(offset + length, start + BLOCK_BYTES)
            if end - first == BLOCK_BYTES:
                self.volumes[name]["map"].pop(str(start // BLOCK_BYTES), None)
            else:
                self.write(name, first, bytes(end - first))

    def block(self, volume: Any, number: int) -> bytes:
        if str(number) not in volume["map"]:
            return bytes(BLOCK_BYTES)
        with self._data.open("rb") as file:
            return os.pread(file.fileno(), BLOCK_BYTES, volume["map"][str(number)] * BLOCK_BYTES)

    def snapshot(self, origin: str, name: str, tag: str) -> None:
        volume = self.volumes[origin]
        self.create(name, volume["size"], map=dict(volume["map"]), tag=tag)
        content = b"".join(self.block(volume, number) for number in range(-(-volume["size"] // BLOCK_BYTES)))
        path = self.devices / GROUP / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content[: volume["size"]])

    def write_metadata(self) -> None:
        """Make the metadata that the tools read."""
        path = self.directory / "metadata.xml"
        devices = "".join(map(_device, self.volumes.values()))
        size = f'data_block_size="{BLOCK_BYTES // 512}" nr_data_blocks="{self._blocks + 1}"'
        path.write_text(f'<superblock uuid="" time="1" transaction="1" {size}>{devices}</superblock>')
        device = self.devices / "mapper" / "vg--0-pool_tmeta"
        device.parent.mkdir(parents=True, exist_ok=True)
        with device.open("wb") as file:
            os.truncate(file.fileno(), 4 * 1024**2)
        subprocess.run([tool("thin_restore"), "-i", path, "-o", device], check=True, capture_output=True)

    def store(self) -> None:
        self._state.write_text(json.dumps([self.volumes, self._blocks, self._last_id]))

    def _is_shared(self, volume: Any, number: str) -> bool:
        block = volume["map"].get(number)
        return block is None or sum(block in one["map"].values() for one in self.volumes.values()) > 1


def _device(volume: Any) -> str:
    blocks = sorted((int(number), block) for number, block in volume["map"].items())
    mapped = "".join(f'<single_mapping origin_block="{one}" data_block="{block}" time="0"/>' for one, block in blocks)
    numbers = f'dev_id="{volume["id"]}" mapped_blocks="{len(blocks)}" transaction="0"'
    return f'<device {numbers} creation_time="0" snap_time="0">{mapped}</device>'


def tool(name: str) -> str:
    """Return the real program; it is seldom on the path of an ordinary user."""
    return shutil.which(name, path=_TOOLS) or name


def install_programs(directory: Path) -> Path:
    """Make the programs over the pool in ``directory``, and return where they are."""
    programs = directory / "bin"
    programs.mkdir()
    for name in PROGRAMS:
        script = programs / name
        script.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S {__file__} {directory} {name} "$@"\n')
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return programs


def run(pool: ThinPool, program: str, arguments: list[str]) -> str:
    """Do what a program does, and return what it prints."""
    name = arguments[-1].rpartition("/")[2]
    held = pool.directory / "held"
    match program:
        case "lvcreate":
            values = dict(pairwise(arguments))
            pool.snapshot(name, values["--name"], values["--addtag"])
        case "lvs":
            tag = arguments[arguments.index("--select") + 1].removeprefix("tags=") if "--select" in arguments else None
            return json.dumps({"report": [{"lv": [*_rows(pool, tag)]}]})
        case "lvremove":
            del pool.volumes[name]
            (pool.devices / GROUP / name).unlink(missing_ok=True)
        case "dmsetup" if arguments[:3] == ["message", "vg--0-pool-tpool", "0"]:
            if (arguments[3] == "reserve_metadata_snap") == held.exists():
                sys.exit("the metadata is held already, or it is not")
            held.unlink() if held.exists() else held.touch()
            pool.write_metadata()
        case "thin_delta" | "thin_dump":
            # The real one finds no snapshot of the metadata in a file; this is what it would find there.
            assert held.exists()
            command = [tool(program), *(one for one in arguments if one != "-m")]
            return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return ""


def _rows(pool: ThinPool, tag: str | None) -> Any:
    for name, volume in pool.volumes.items():
        if tag in (None, volume["tag"]):
            fields = {"lv_uuid": volume["uuid"], "thin_id": str(volume["id"]), "lv_size": str(volume["size"])}
            yield {"lv_name": name, "pool_lv": POOL, **fields}


if __name__ == "__main__":
    used = ThinPool(Path(sys.argv[1]))
    sys.stdout.write(run(used, sys.argv[2], sys.argv[3:]))
    used.store()
