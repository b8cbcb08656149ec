from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, Place, serving


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
async def daemon(place: Place) -> AsyncIterator[Daemon]:
    async with serving(place) as daemon:
        yield daemon
