from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest

from targets.errors import Misconfigured
from targets.open import open_target
from targets.rados.binding import load

ABSENT = "rados_absent"
OURS = f"cpython-{sys.version_info.major}{sys.version_info.minor}-x86_64-linux-gnu"


def told(packages: Path) -> str:
    with pytest.raises(Misconfigured) as caught:
        load(ABSENT, packages=packages)
    return str(caught.value)


def test_binding_that_is_missing_is_told_with_what_to_install_and_for_which_python(tmp_path: Path) -> None:
    message = told(tmp_path)
    assert f"a rados target needs the module {ABSENT} of python3-rados" in message
    assert "HINT: install the package python3-rados" in message
    assert "for the distribution's own Python" in message
    assert f"this one is {sys.executable}, Python {platform.python_version()}" in message


def test_binding_for_another_python_is_told(tmp_path: Path) -> None:
    (tmp_path / f"{ABSENT}.cpython-399-x86_64-linux-gnu.so").touch()
    message = told(tmp_path)
    assert "cpython-399-x86_64-linux-gnu.so is for the distribution's own Python" in message
    assert f"this one is {sys.executable}, Python {platform.python_version()}" in message


def test_binding_that_the_environment_does_not_see_is_told_with_what_links_it(tmp_path: Path) -> None:
    (tmp_path / f"{ABSENT}.{OURS}.so").touch()
    assert f"is not linked into this environment (this one is {sys.executable}" in told(tmp_path)


def test_binding_that_cannot_do_what_is_needed_is_told() -> None:
    with pytest.raises(Misconfigured, match=r"json.* has no Rados\.open_ioctx: expected python3-rados of Ceph 16"):
        load("json")


def test_binding_is_asked_for_when_a_target_is_opened_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rados", None)  # As Python marks what cannot be imported.
    with pytest.raises(Misconfigured, match="a rados target needs the module rados of python3-rados"):
        open_target("rados://pool/namespace")
