"""Small file systems that can clone files, over loop devices. Only root may mount one."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.loop_device import not_run
from tests.support.small_file_system import MOUNT, UMOUNT

_SIZE_BYTES = 512 * 1024**2  # Of a sparse file. XFS takes no less than 300 MiB.
MountCloning = Callable[[str, Path], Path]


@pytest.fixture(scope="session")
def mount_cloning(request: pytest.FixtureRequest) -> Iterator[MountCloning]:
    """Return what makes and mounts a file system of a type. All are unmounted when the tests end."""
    with ExitStack() as mounted:

        def mount(kind: str, directory: Path) -> Path:
            make = shutil.which(f"mkfs.{kind}", path="/usr/sbin:/sbin:/usr/bin:/bin")
            if make is None or MOUNT is None or UMOUNT is None:
                not_run(request.config, f"mount or mkfs.{kind} is missing here: make servers")
            image = directory / "file-system"
            with image.open("wb") as file:
                os.truncate(file.fileno(), _SIZE_BYTES)
            subprocess.run([make, "-q", image], check=True, capture_output=True)
            place = directory / "mounted"
            place.mkdir()
            if problem := mount_image(image, place):
                not_run(request.config, f"{kind} cannot be mounted here: {problem}")
            mounted.callback(unmount, place)
            return place

        yield mount


def mount_image(image: Path, place: Path) -> str:
    """Mount the file system in an image, and return what stands against it."""
    assert MOUNT is not None
    made = subprocess.run([MOUNT, "-o", "loop", str(image), str(place)], capture_output=True, text=True, check=False)
    return made.stderr.strip() if made.returncode else ""


def unmount(place: Path) -> None:
    """Unmount what is mounted there."""
    assert UMOUNT is not None
    subprocess.run([UMOUNT, "--lazy", str(place)], check=True)
