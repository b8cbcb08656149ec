from __future__ import annotations

import pytest

from targets.errors import Misconfigured
from targets.rados.librados import load


def test_library_that_is_missing_is_told_with_what_to_install() -> None:
    with pytest.raises(Misconfigured, match=r"needs librados-absent\.so\.2.*\n.*install the package librados2"):
        load("librados-absent.so.2")


def test_library_that_is_another_one_is_told() -> None:
    with pytest.raises(Misconfigured, match=r"libc\.so\.6 has no rados_create"):
        load("libc.so.6")
