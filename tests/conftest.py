from __future__ import annotations

import pytest

pytest_plugins = ["tests.support.loop_device"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require-all",
        action="store_true",
        help="fail a test that this machine cannot run, instead of reporting it as not run",
    )
