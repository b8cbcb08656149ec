"""Temporary files: how they are named, and which of them nobody will finish.

The name tells host and process, so that the files of a process that died are found at once. A pid says
nothing about a process on another host or in another container; there, and where a pid was used again, age
decides.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress

from targets.base import Leaving
from targets.local.files import LocalFiles

AGE_S_MAX = 3600  # No write to a temporary file takes this long; each one makes it young again.


def new_name() -> str:
    """Return a name that no other temporary file has."""
    return f"{_host()}.{os.getpid()}.{secrets.token_hex(8)}"


def clean(directory: int, files: LocalFiles) -> None:
    """Remove the files that nobody will finish; what cannot be removed stays, it harms nothing."""
    with suppress(OSError):
        files.utime(directory)
        # The file system's own clock: it also set the times of the files, perhaps on another machine.
        now_s = files.stat(directory).st_mtime
        with files.scandir(directory) as entries:
            for entry in entries:
                with suppress(OSError):
                    age_s = now_s - entry.stat(follow_symlinks=False).st_mtime
                    if age_s > AGE_S_MAX or _is_dead(entry.name):
                        files.unlink(entry.name, dir_fd=directory)


def dead(directory: int, files: LocalFiles) -> list[Leaving]:
    """Return the files of processes of this host that have died; of others nobody can tell without a clock."""
    found = []
    with files.scandir(directory) as entries:
        for entry in entries:
            with suppress(OSError):
                if _is_dead(entry.name):
                    found.append(Leaving(entry.name, "", entry.stat(follow_symlinks=False).st_size))
    return found


def _is_dead(name: str) -> bool:
    host, _, rest = name.rpartition(".")[0].rpartition(".")
    if host != _host() or not rest.isdecimal():
        return False
    try:
        os.kill(int(rest), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False
    return False


def _host() -> str:
    return os.uname().nodename.replace("/", "_")
