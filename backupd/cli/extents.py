"""Changed extents from a file, in the forms that tools write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TextIO

from backupd.cli.errors import InvalidInput


def read_changed_extents(path: str, stdin: TextIO) -> list[dict[str, int]]:
    """Return the extents in the JSON file ``path`` ("-" is ``stdin``). Raises InvalidInput.

    An entry is {"offset_bytes", "length_bytes"}, or [offset, length], or {"start", "length", "dirty"}, where
    "dirty": false leaves it out. What ``qemu-img map`` prints has no "dirty" and is refused: for a bitmap it
    calls what is dirty "data": false, for an image it tells what is allocated, and neither can be told from
    the other.
    """
    try:
        text = stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
        entries = json.loads(text)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise InvalidInput(f"--changed-extents {path}: cannot be read: {reason}") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InvalidInput(f"--changed-extents {path}: not JSON: {error.msg.lower()} at {where}") from error
    except ValueError as error:
        raise InvalidInput(f"--changed-extents {path}: not JSON text in UTF-8") from error
    if not isinstance(entries, list):
        raise InvalidInput(f"--changed-extents {path}: expected a JSON list of extents")
    extents = (_extent(path, index, entry) for index, entry in enumerate(entries))
    return [extent for extent in extents if extent is not None]


def _extent(path: str, index: int, entry: Any) -> dict[str, int] | None:
    match entry:
        case [int(offset), int(length)]:
            return {"offset_bytes": offset, "length_bytes": length}
        case {"offset_bytes": int(offset), "length_bytes": int(length)}:
            return {"offset_bytes": offset, "length_bytes": length}
        case {"start": int(offset), "length": int(length), "dirty": bool(is_dirty)}:
            return {"offset_bytes": offset, "length_bytes": length} if is_dirty else None
    raise InvalidInput(
        f'--changed-extents {path}: entry {index}: expected {{"offset_bytes", "length_bytes"}}, '
        '[offset, length] or {"start", "length", "dirty"} with whole numbers'
    )
