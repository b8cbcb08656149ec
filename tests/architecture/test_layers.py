from __future__ import annotations

from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.architecture.code import PRODUCT, module_of, python_files, read
from tests.architecture.layers import imported, violations

FILES = python_files(PRODUCT)
MODULES = [module_of(path) for path in FILES]
IMPORTS = {module_of(path): imported(read(path), path, MODULES) for path in FILES}


def test_every_import_points_down() -> None:
    assert [line for module, imports in IMPORTS.items() for line in violations(module, imports)] == []


def test_no_import_leads_in_a_circle() -> None:
    ours = set(MODULES)
    TopologicalSorter({module: imports & ours for module, imports in IMPORTS.items()}).prepare()


MODULES_OF_THE_EXAMPLES = ["backupd.catalog.store", "backupd.jobs.worker", "chunker.direct_io"]


def found(module: str, text: str) -> list[str]:
    path = Path(*module.split(".")).with_suffix(".py")
    return list(violations(module, imported(text, path, MODULES_OF_THE_EXAMPLES)))


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("backupd.model", "import backupd.service"),
        ("backupd.catalog.store", "from backupd.repository import layout"),
        ("backupd.catalog.store", "def late():\n    from backupd.jobs import worker"),
        ("backupd.model", "from backupd import jobs"),
        ("backupd.catalog.store", "from ..jobs import worker"),
        ("backupd.errors", "from .jobs import worker"),
        ("backupd.clock", "import importlib\nimportlib.import_module('backupd.model')"),
        ("backupd.model", "if TYPE_CHECKING:\n    from backupd.jobs.worker import Worker"),
        ("chunker.frame", "import targets.base"),
        ("targets.memory", "from chunker import errors"),
        ("chunker.errors", "from chunker.extents import Extent"),
        ("chunker.sources.file", "from chunker.destinations.file import FileDestination"),
        ("targets.local", "import targets.memory"),
        ("targets.base", "from targets.open import open_target"),
        ("backupd.service", "import backupd.cli.main"),
        ("backupd.cli.main", "import backupd.model"),
        ("backupd.cli.main", "import sqlalchemy"),
        ("backupd.cli.main", "from backupd.offline import main"),
        ("backupd.cli.offline", "from backupd.service import serve"),
        ("backupd.service", "from tests.support import volumes"),
        ("backupd.unheard_of", "import os"),
        ("chunker.unheard_of", "import os"),
    ],
)
def test_import_that_points_up_is_found(module: str, text: str) -> None:
    assert found(module, text)


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("backupd.jobs.worker", "from backupd.catalog import store\nimport chunker.frame, targets.open"),
        ("backupd.catalog.store", "from backupd.catalog import tables\nimport sqlalchemy"),
        ("backupd.cli.main", "import argparse\nimport aiohttp\nfrom backupd.cli import output"),
        ("backupd.service", "from backupd import __version__"),
        ("chunker.sources.file", "from chunker import direct_io\nfrom chunker.errors import SourceBusy"),
    ],
)
def test_import_that_points_down_is_not(module: str, text: str) -> None:
    assert found(module, text) == []
