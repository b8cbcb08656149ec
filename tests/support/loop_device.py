"""Real block devices for tests: loop devices over files, gone with the process that made them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NoReturn, Protocol

import pytest

from tests.support.servers.process import Missing

# Seldom on the path of an ordinary user.
LOSETUP = shutil.which("losetup", path="/usr/sbin:/sbin:/usr/bin:/bin")


class AttachLoop(Protocol):
    """Image file -> loop device over it."""

    def __call__(self, image: Path, *, is_read_only: bool = False) -> Path: ...


@pytest.fixture
def attach_loop(request: pytest.FixtureRequest) -> Iterator[AttachLoop]:
    """Return what makes loop devices. All are detached when the test ends."""
    with ExitStack() as attached:

        def attach(image: Path, *, is_read_only: bool = False) -> Path:
            if LOSETUP is None:
                not_run(request.config, "losetup is missing here")
            options = ["--find", "--show", *(["--read-only"] if is_read_only else [])]
            made = subprocess.run(
                [LOSETUP, *options, image],
                capture_output=True,
                text=True,
                check=False,
            )
            if made.returncode:
                not_run(request.config, f"no loop device can be made here: {made.stderr.strip()}")
            device = Path(made.stdout.strip())
            attached.callback(os.close, os.open(device, os.O_RDONLY | os.O_CLOEXEC))
            # While it is open, detaching only marks it: the kernel detaches it when the last one closes it,
            # so even a killed test leaves nothing behind.
            subprocess.run([LOSETUP, "--detach", device], check=True)
            return device

        yield attach


@contextmanager
def required(config: pytest.Config) -> Iterator[None]:
    """Report the test as ``not_run`` does when a server that starts inside is Missing something."""
    try:
        yield
    except Missing as missing:
        not_run(config, str(missing))


def not_run(config: pytest.Config, reason: str) -> NoReturn:
    """Report the test as not run; fail it where every test must run. The only place that may do this."""
    if config.getoption("--require-all"):
        pytest.fail(f"this test must run here: {reason}")
    pytest.skip(reason)
