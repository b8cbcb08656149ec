"""Which module may import which: the rows of the house, and the rule that every import points down."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.architecture.code import imports_of, module_of

Rows = tuple[tuple[str, ...], ...]

# From the top to the bottom. A module belongs to the entry that is its longest prefix; it may import modules
# of its own entry and of all rows below, but not of its row's other entries. "=" means that module alone.
HOUSE: Rows = (
    ("backupd.cli",),
    ("backupd.__main__",),
    ("backupd.simulation",),
    ("backupd.service", "backupd.rebuild", "backupd.key_commands", "backupd.offline"),
    ("backupd.metrics", "backupd.state_dir", "backupd.configured_targets"),
    ("backupd.loop_lag",),
    ("backupd.api",),
    ("backupd.application",),
    ("backupd.jobs",),
    ("backupd.pipeline",),
    ("backupd.catalog", "backupd.repository", "backupd.config"),
    ("backupd.states", "backupd.retention", "backupd.type_rules", "backupd.condition", "backupd.access"),
    ("backupd.block_storage", "backupd.collection"),
    ("backupd.model",),
    ("backupd.errors", "backupd.clock"),
    ("=backupd", "chunker", "targets"),
)
CHUNKER: Rows = (
    ("=chunker",),
    ("chunker.testing",),
    ("chunker.sources", "chunker.destinations", "chunker.tree"),
    ("chunker.frame", "chunker.pack", "chunker.node"),
    ("chunker.digest",),
    (
        "chunker.extents",
        "chunker.sources.writers",
        "chunker.keys",
        "chunker.xaes",
        "chunker.block_device",
        "chunker.direct_io",
        "chunker.cloning",
    ),
    ("chunker.errors",),
)
TARGETS: Rows = (
    ("=targets",),
    ("targets.open", "targets.testing", "targets.probe"),
    (
        "targets.memory",
        "targets.local",
        "targets.gcs",
        "targets.rados",
        "targets.s3",
        "targets.swift",
        "targets.wrappers",
    ),
    ("targets.http", "targets.parallel", "targets.threads"),
    ("targets.base", "targets.options"),
    ("targets.keys",),
    ("targets.errors",),
)
TABLES = (HOUSE, CHUNKER, TARGETS)

# The command line talks to the daemon over HTTP; it could run on a machine that has nothing else of this. But for the
# one module that reads a target when there is no daemon.
CLI = "backupd.cli"
CLI_WITHOUT_DAEMON = ("backupd.cli.offline", "backupd.offline")
CLI_MAY_IMPORT = {*sys.stdlib_module_names, "aiohttp"}


def imported(text: str, path: Path, modules: Iterable[str]) -> set[str]:
    """Return what a file imports; ``from package import module`` is an import of the module."""
    package = module_of(path) if path.name == "__init__.py" else ".".join(path.parent.parts)
    known = {".".join(parts[:end]) for parts in (m.split(".") for m in modules) for end in range(1, len(parts) + 1)}
    return {
        f"{module}.{name}" if f"{module}.{name}" in known else module
        for module, name in imports_of(ast.parse(text), package)
    }


def violations(module: str, imports: Iterable[str]) -> Iterator[str]:
    """Yield a sentence for each import of ``module`` that it may not have, and one if it has no row."""
    if _place(module, _table_of(module)) is None:
        yield f"{module} has no row in the table"
    for target in sorted(imports):
        if _root(target) in ("tests", "bench"):
            yield f"{module} imports {target}, which is not installed"
        if not all(_points_down(module, target, rows) for rows in TABLES):
            yield f"{module} imports {target}, which is not below it"
        is_allowed = _root(target) in CLI_MAY_IMPORT or _is_without_daemon(module, target)
        if _is_in(module, CLI) and not _is_in(target, CLI) and not is_allowed:
            yield f"{module} imports {target}, but it is a client of the HTTP API only"


def _is_without_daemon(module: str, target: str) -> bool:
    return module == CLI_WITHOUT_DAEMON[0] and _is_in(target, CLI_WITHOUT_DAEMON[1])


def _points_down(module: str, target: str, rows: Rows) -> bool:
    ours, theirs = _place(module, rows), _place(target, rows)
    return ours is None or theirs is None or ours == theirs or ours[0] < theirs[0]


def _place(module: str, rows: Rows) -> tuple[int, str] | None:
    """Return (row, entry) of the longest entry that fits."""
    fitting = [
        (row, entry)
        for row, entries in enumerate(rows)
        for entry in entries
        if module == entry.removeprefix("=") or _is_in(module, entry)
    ]
    return max(fitting, key=lambda place: len(place[1]), default=None)


def _table_of(module: str) -> Rows:
    return {"chunker": CHUNKER, "targets": TARGETS}.get(_root(module), HOUSE)


def _is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _root(module: str) -> str:
    return module.partition(".")[0]
