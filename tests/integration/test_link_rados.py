"""What ``make setup`` says about the distribution's modules for Ceph."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "link-rados"


def said(modules: Path) -> str:
    command = ["env", f"RADOS_MODULES={modules}", SCRIPT, sys.executable]
    return subprocess.run(command, capture_output=True, text=True, check=True).stderr


def test_missing_modules_are_told_with_who_needs_them_and_what_to_install(tmp_path: Path) -> None:
    told = said(tmp_path)
    assert (
        f"no python3-rados here, so none is linked into {sys.executable} (Python {platform.python_version()})" in told
    )
    assert "targets and volumes on Ceph need it" in told
    assert "only volumes on RBD need it" in told
    assert "HINT: apt install python3-rados" in told


def test_modules_for_another_python_are_told_with_which_one_this_is(tmp_path: Path) -> None:
    (tmp_path / "rados.cpython-399-x86_64-linux-gnu.so").touch()
    told = said(tmp_path)
    assert "rados.cpython-399-x86_64-linux-gnu.so is for the distribution's own Python" in told
    assert f"{sys.executable} (Python {platform.python_version()}) needs rados.cpython-" in told
    assert "HINT: make setup PYTHON=/usr/bin/python3" in told
