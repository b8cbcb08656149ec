from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture.code import ROOT, python_files, read
from tests.architecture.tidy import FILE_LINES_MAX, FUNCTION_LINES_MAX, findings, leftovers

OTHER_FILES = [
    *ROOT.glob("*.md"),
    *ROOT.glob("*.toml"),
    ROOT / "Makefile",
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / "scripts").iterdir(),
]


def test_every_python_file_is_tidy() -> None:
    assert [line for path in python_files() for line in findings(read(path), path)] == []


def test_no_other_file_has_work_left_for_later() -> None:
    assert [(path, line) for path in OTHER_FILES for line in leftovers(path.read_text("utf-8"))] == []


@pytest.mark.parametrize(
    "text",
    [
        "import asyncio\nasyncio.create_task(f())",
        "import asyncio as a\na.gather(f(), g())",
        "from asyncio import ensure_future as later\nlater(f())",
        "import asyncio\nasyncio.get_running_loop().create_task(f())",
        "loop.create_task(f())",
        "self._loop.create_task(f())",
        "loop.run_in_executor(None, f)",
        "import asyncio\nasyncio.to_thread(f)",
        "import threading\nthreading.Thread(target=f)",
        "import asyncio\nasyncio.Queue()",
        "import asyncio\nqueue: asyncio.Queue[int] = asyncio.Queue(maxsize=0)",
        "from queue import LifoQueue\nLifoQueue(0)",
        "from queue import SimpleQueue",
        "import os\nos.environ['HOME']",
        "from os import getenv",
        "import time\ntime.time()",
        "from time import monotonic as now\nnow()",
        "import time\ntime.sleep(1)",
        "from datetime import datetime\ndatetime.now(UTC)",
        "import datetime\ndatetime.datetime.utcnow()",
        "from unittest import mock",
        "import unittest.mock\nunittest.mock.Mock()",
        "monkeypatch.setattr(a, 'b', 1)",
        "import pytest\npytest.skip('no')",
        "import pytest\n@pytest.mark.xfail(reason='no')\ndef test(): ...",
        "def f():\n    raise NotImplementedError",
        "try:\n    f()\nexcept asyncio.CancelledError:\n    pass",
        "try:\n    f()\nexcept (ValueError, BaseException):\n    pass",
        "try:\n    f()\nexcept:\n    pass",
        "x = 1  # noqa: E501",
        "x = 1  # noqa",
        "x = 1  # type: ignore[assignment]",
        "x = 1  # type: ignore[assignment]  # noqa: E501",
        "# TO" + "DO: later",
        "def f():\n" + "    x = 1\n" * FUNCTION_LINES_MAX,
        "x = 1\n" * (FILE_LINES_MAX + 1),
    ],
)
def test_untidy_code_is_found(text: str) -> None:
    assert findings(text, Path("backupd/example.py"))


@pytest.mark.parametrize(
    "text",
    [
        "async with asyncio.TaskGroup() as group:\n    group.create_task(f())",
        "import asyncio\nasyncio.Queue(maxsize=depth)\nasyncio.Queue(8)",
        "loop.run_in_executor(self._threads, f)",
        "from datetime import datetime\ndatetime.fromisoformat(x)",
        "import os\nos.open(path, os.O_RDONLY)",
        "clock.monotonic()",
        "try:\n    f()\nexcept BaseException:\n    undo()\n    raise",
        "x = 1  # noqa: S311 - repeatable, no secret",
        "x = 1  # type: ignore[misc]  # the stub lacks it",
        "text = 'a # noqa in a string'",
        "def f():\n" + "    x = 1\n" * (FUNCTION_LINES_MAX - 1),
        "x = 1\n" * FILE_LINES_MAX,
    ],
)
def test_tidy_code_is_not(text: str) -> None:
    assert findings(text, Path("backupd/example.py")) == []


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("backupd/clock.py", "import time\ntime.monotonic()"),
        ("backupd/config/load.py", "import os\nos.environ['A']"),
        ("tests/support/loop_device.py", "import pytest\npytest.skip('no')"),
    ],
)
def test_what_is_banned_has_one_home(path: str, text: str) -> None:
    assert findings(text, Path(path)) == []
    assert findings(text, Path("backupd/example.py")) != []


@pytest.mark.parametrize("name", ["utils", "helpers", "manager", "common"])
def test_name_that_says_nothing_is_found(name: str) -> None:
    assert findings("", Path(f"backupd/{name}.py"))
