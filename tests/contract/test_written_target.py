"""The target on the page that tells how to write one keeps the contract."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

import pytest

from targets.base import Target
from targets.testing import TargetContract
from tests.support.written_page import blocks, install_page


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    directory = tmp_path_factory.mktemp("installed")
    install_page(directory)
    spec = spec_from_file_location("backupd_sqlite", directory / "backupd_sqlite.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # Where dataclasses and annotations look for it.
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


class TestWrittenTarget(TargetContract):
    @pytest.fixture
    async def target(self, driver: ModuleType, tmp_path: Path) -> AsyncIterator[Target]:
        target: Target = driver.SqliteTarget(urlsplit(f"sqlite:{tmp_path}/backups.db"), {})
        yield target
        await target.aclose()


def test_it_is_short() -> None:
    assert len(blocks("python")[0].splitlines()) < 100
