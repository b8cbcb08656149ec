"""A command for external sources: an image, a journal of the writes to it, and a copy for each point in time.

It is run by the source that the tests look at, and imported by none. ``Journal`` is who writes to the image.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any


class Journal:
    """An image whose every write is written down."""

    def __init__(self, directory: Path) -> None:
        self.image = directory / "image"
        self._journal = directory / "journal"

    def write(self, offset: int, content: bytes) -> None:
        with self.image.open("r+b") as file:
            os.pwrite(file.fileno(), content, offset)
        self._note(offset, len(content))

    def resize(self, size: int) -> None:
        old = self.image.stat().st_size
        os.truncate(self.image, size)
        self._note(min(old, size), abs(old - size))

    def written(self) -> list[list[int]]:
        return [json.loads(line) for line in self._journal.read_text().splitlines()] if self._journal.exists() else []

    def _note(self, offset: int, length: int) -> None:
        with self._journal.open("a") as file:
            file.write(json.dumps([offset, length]) + "\n")


def answer(asked: dict[str, Any], root: Path) -> dict[str, Any]:
    """Return the answer to a question of format 1."""
    assert asked["format"] == 1
    journal = Journal(root / asked["parameters"]["volume"])
    if asked["action"] == "open":
        return taken(journal)
    path = Path(asked["path"])
    match asked["action"]:
        case "changes":
            return changes(journal, asked["parent"]["token"], asked["token"], path.stat().st_size)
        case "data":
            return {"extents": [[0, path.stat().st_size]]}
        case "check" if identity(journal) != asked["identity"]:
            return {"error": {"kind": "changed", "message": "another volume has its place"}}
        case "commit":
            for older in path.parent.glob("point-*"):
                if number(older) < number(path):
                    older.unlink()
        case "rollback":
            path.unlink(missing_ok=True)
    return {}


def taken(journal: Journal) -> dict[str, Any]:
    directory = journal.image.parent
    if not journal.image.exists():
        return {"error": {"kind": "missing", "message": f"there is no volume {directory.name}"}}
    token = f"{len(journal.written())}.{len(list(directory.iterdir()))}"
    path = directory / f"point-{token}"
    shutil.copyfile(journal.image, path)
    return {"path": str(path), "identity": identity(journal), "token": token, "tells_data": True}


def changes(journal: Journal, since: str, now: str, size: int) -> dict[str, Any]:
    if not (journal.image.parent / f"point-{since}").exists():
        return {"extents": None, "reason": f"there is no point {since!r}"}
    written = journal.written()[int(since.partition(".")[0]) : int(now.partition(".")[0])]
    return {"extents": [[start, min(length, size - start)] for start, length in written if start < size]}


def identity(journal: Journal) -> str:
    return str(journal.image.stat().st_ino)


def number(point: Path) -> int:
    return int(point.name.rpartition(".")[2])


if __name__ == "__main__":
    sys.stdout.write(json.dumps(answer(json.load(sys.stdin), Path(sys.argv[1]))))
