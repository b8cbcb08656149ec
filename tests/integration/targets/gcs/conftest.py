from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from targets.base import Target
from tests.support.gcs_targets import with_key
from tests.support.servers.gcs_service import GcsService, gcs_service


@pytest.fixture
async def service() -> AsyncIterator[GcsService]:
    async with gcs_service() as running:
        yield running


@pytest.fixture
async def target(service: GcsService, tmp_path: Path) -> AsyncIterator[Target]:
    opened = with_key(service, tmp_path)
    yield opened
    await opened.aclose()
