"""Listing: the objects below a directory."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import suppress

from targets.base import ObjectInfo
from targets.keys import is_segment
from targets.local.files import DIRECTORY, LocalFiles
from targets.local.folders import link_refused


def walk(files: LocalFiles, directory: int, path: str, prefix: str) -> Generator[ObjectInfo, None, None]:
    """Yield the objects below the open ``directory``, whose keys start with ``path``, that have the prefix.

    Memory does not grow with their number. What vanishes meanwhile is left out, and so is what has a name
    that no key could have, such as ``.tmp`` and ``lost+found``.
    """
    with files.scandir(directory) as entries:
        for entry in entries:
            key = path + entry.name
            if is_segment(entry.name) and key.startswith(prefix):
                with suppress(FileNotFoundError):
                    yield from _found(files, directory, entry, key, prefix)


def _found(
    files: LocalFiles, directory: int, entry: os.DirEntry[str], key: str, prefix: str
) -> Generator[ObjectInfo, None, None]:
    if entry.is_symlink():
        raise link_refused(key)  # Leaving it out would hide whatever objects are behind it.
    if entry.is_dir(follow_symlinks=False):
        with files.opened(entry.name, DIRECTORY, directory=directory) as below:
            yield from walk(files, below, f"{key}/", prefix)
    elif entry.is_file(follow_symlinks=False):
        yield ObjectInfo(key, entry.stat(follow_symlinks=False).st_size)
