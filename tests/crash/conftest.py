from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.crashes import Launcher, launching
from tests.support.daemon import Place


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[Launcher]:
    with launching(tmp_path / "doomed.log") as launcher:
        yield launcher


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)
