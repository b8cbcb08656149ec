"""A file system of a few MiB, for tests of what is full or read-only. Only root may mount one."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.loop_device import not_run

MOUNT = shutil.which("mount", path="/usr/bin:/bin:/usr/sbin:/sbin")
UMOUNT = shutil.which("umount", path="/usr/bin:/bin:/usr/sbin:/sbin")
SIZE_BYTES = 4 * 1024 * 1024
MountSmall = Callable[[Path], None]


@pytest.fixture
def mount_small(request: pytest.FixtureRequest) -> Iterator[MountSmall]:
    """Return what mounts an empty file system over a directory. All are unmounted when the test ends."""
    with ExitStack() as mounted:

        def mount(directory: Path) -> None:
            if MOUNT is None or UMOUNT is None:
                not_run(request.config, "mount is missing here")
            command = [MOUNT, "-t", "tmpfs", "-o", f"size={SIZE_BYTES}", "none", str(directory)]
            made = subprocess.run(command, capture_output=True, text=True, check=False)
            if made.returncode:
                not_run(request.config, f"nothing can be mounted here: {made.stderr.strip()}")
            mounted.callback(subprocess.run, [UMOUNT, "--lazy", str(directory)], check=True)

        yield mount


def make_read_only(directory: Path, *, is_read_only: bool = True) -> None:
    """Refuse all writes below a mounted directory, or allow them again."""
    assert MOUNT is not None
    subprocess.run([MOUNT, "-o", f"remount,{'ro' if is_read_only else 'rw'}", str(directory)], check=True)
