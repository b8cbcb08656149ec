"""The code base as the architecture tests see it: files, modules, syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRODUCT = ("chunker", "targets", "backupd")
FOLDERS = (*PRODUCT, "tests", "bench", "examples")


def python_files(folders: tuple[str, ...] = FOLDERS) -> list[Path]:
    """Return every Python file below the folders, relative to the root."""
    return sorted(path.relative_to(ROOT) for folder in folders for path in (ROOT / folder).rglob("*.py"))


def read(path: Path) -> str:
    """Return the text of a file that is named relative to the root."""
    return (ROOT / path).read_text(encoding="utf-8")


def module_of(path: Path) -> str:
    """Return the dotted name that a file is imported by."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(tree: ast.AST, package: str) -> Iterator[tuple[str, str | None]]:
    """Yield (module, name or None) for every import, also in functions and by ``import_module``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__"):
            yield from ((text, None) for text in map(_text, node.args[:1]) if text)


def _called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def _text(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
