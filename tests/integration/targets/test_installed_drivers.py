"""Drivers of other packages, as pip would have installed them."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import targets.testing
from tests.support.written_page import blocks, install, install_page

MAY_IMPORT = {*sys.stdlib_module_names, "pytest", "targets"}


def run(directory: Path, code: str) -> str:
    """Return what ``code`` prints where the packages in ``directory`` are installed."""
    path = f"import sys; sys.path.insert(0, {str(directory)!r})\n"
    done = subprocess.run([sys.executable, "-c", path + code], capture_output=True, text=True, check=True, timeout=50)
    return done.stdout.strip()


def opened(directory: Path, url: str, **options: Any) -> str:
    """Return what opening the url says: the class of the target, or the error."""
    code = (
        "from targets.open import open_target\n"
        f"try: print(type(open_target({url!r}, **{options!r})).__name__)\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    return run(directory, code)


def project(point: str) -> dict[str, Any]:
    return {"name": "other", "version": "1.0", "entry-points": {"backupd.targets": {"other": point}}}


def test_driver_of_the_page_is_found_by_its_entry_point(tmp_path: Path) -> None:
    install_page(tmp_path)
    code = (
        "import asyncio; from targets.open import open_target\n"
        "async def main():\n"
        f"    target = open_target('sqlite:{tmp_path}/backups.db', busy_timeout_s=1)\n"
        "    await target.put('key', b'content')\n"
        "    print(await target.get('key'), target.capabilities.name)\n"
        "    await target.aclose()\n"
        "asyncio.run(main())"
    )
    assert run(tmp_path, code) == "b'content' sqlite"


def test_options_and_places_that_are_wrong_are_named(tmp_path: Path) -> None:
    install_page(tmp_path)
    assert "Misconfigured option colour: unknown" in opened(tmp_path, "sqlite:/x", colour="red")
    assert "Misconfigured option busy_timeout_s: -1" in opened(tmp_path, "sqlite:/x", busy_timeout_s=-1.0)
    assert "Misconfigured unable to open" in opened(tmp_path, f"sqlite:{tmp_path}/missing/backups.db")


def test_test_of_the_page_passes_as_it_stands(tmp_path: Path) -> None:
    install_page(tmp_path)
    (tmp_path / "test_backupd_sqlite.py").write_text(blocks("python")[1])
    (tmp_path / "pyproject.toml").write_text(blocks("toml")[0])
    arguments = ["-q", "-k", "range or wins", "-p", "no:cacheprovider", str(tmp_path)]
    assert " passed" in run(tmp_path, f"import pytest; sys.exit(pytest.main({arguments!r}))")


def test_unknown_scheme_is_told_with_the_installed_ones(tmp_path: Path) -> None:
    install_page(tmp_path)
    known = opened(tmp_path, "gopher:x").partition("expected one of ")[2].split(", ")
    assert {"file", "memory", "sqlite"} <= {*known}


def test_driver_cannot_take_the_place_of_one_of_ours(tmp_path: Path) -> None:
    bad = {"name": "other", "version": "1.0", "entry-points": {"backupd.targets": {"memory": "other:open_other"}}}
    install(tmp_path, module="other", project=bad, code="def open_other(url, options): return 1")
    assert opened(tmp_path, "memory:") == "MemoryTarget"


def test_driver_whose_module_fails_is_named_with_the_reason(tmp_path: Path) -> None:
    install(tmp_path, module="other", project=project("other:open_other"), code="import no_such_client")
    expected = "Misconfigured target url: the driver of other (other:open_other) cannot be loaded"
    assert opened(tmp_path, "other://x") == f"{expected}: No module named 'no_such_client'"


def test_driver_without_its_function_is_named_with_the_reason(tmp_path: Path) -> None:
    install(tmp_path, module="other", project=project("other:open_other"), code="")
    assert "(other:open_other) cannot be loaded: " in opened(tmp_path, "other://x")
    assert "open_other" in opened(tmp_path, "other://x").partition("loaded")[2]


def test_suite_needs_nothing_but_pytest() -> None:
    tree = ast.parse(Path(targets.testing.__file__).read_text("utf-8"))
    named = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    named |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in named} <= MAY_IMPORT
