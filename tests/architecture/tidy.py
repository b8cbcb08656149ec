"""The rules of style that no linter has: what is banned, how long things may be, what needs a reason."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
BANNED_FILE_NAMES = {"utils", "util", "helpers", "helper", "manager", "managers", "common", "misc"}

# Requests are signed with the time of day; a command has one deadline over many waits.
_CLOCK = (
    *("backupd/clock.py", "targets/rados/objects.py", "targets/s3/clock.py"),
    *("chunker/sources/external/command.py", "bench/"),
)
_MIGRATIONS = "backupd/catalog/migrations/"  # One function each, as long as what it creates.
_CONFIG = ("backupd/config/",)
# A thread needs an owner: an executor that somebody shuts down. For opening and closing, the loop's will do.
_THREADS_OF_THE_LOOP = (
    "backupd/configured_targets.py",
    "backupd/repository/opened.py",
    "tests/support/servers/process.py",
    "tests/integration/targets/",
)
_NOT_RUN = ("tests/support/loop_device.py",)

# What nobody may use -> where it may be used after all. Names are resolved through the imports of the file.
BANNED: dict[str, tuple[str, ...]] = {
    "NotImplementedError": (),  # A stub is no code; an abstract method says so.
    "asyncio.create_task": (),  # A task needs an owner: TaskGroup.create_task.
    "asyncio.ensure_future": (),
    "asyncio.gather": (),
    "asyncio.get_event_loop": (),
    "asyncio.to_thread": _THREADS_OF_THE_LOOP,
    "threading.Thread": ("bench/profiled.py",),  # Which watches a loop from beside it.
    "datetime.date.today": _CLOCK,
    "datetime.datetime.now": _CLOCK,
    "datetime.datetime.today": _CLOCK,
    "datetime.datetime.utcnow": _CLOCK,
    "time.monotonic": _CLOCK,
    "time.monotonic_ns": _CLOCK,
    "time.sleep": ("bench/",),
    "time.time": _CLOCK,
    "time.time_ns": _CLOCK,
    "os.environ": _CONFIG,
    "os.getenv": _CONFIG,
    "monkeypatch.setattr": (),  # What a test must replace is an argument.
    "unittest.mock": (),
    "pytest.importorskip": (),
    "pytest.mark.skip": (),
    "pytest.mark.skipif": (),
    "pytest.mark.xfail": (),
    "pytest.skip": _NOT_RUN,  # A test that did not run looks like one that passed.
    "pytest.xfail": (),
    "queue.SimpleQueue": ("backupd/pipeline/workers.py", "bench/"),  # No bound; these hold a fixed number.
}
_QUEUES = {f"{module}.{kind}Queue" for module in ("asyncio", "queue") for kind in ("", "Lifo", "Priority")}
_LOOP_TASK = re.compile(r"loop(\(\))?\.create_task$")
_LEFTOVER = re.compile(r"\b(T[O]DO|FIX[M]E|XX[X])\b")  # The brackets keep this line from being found.
_IGNORE = re.compile(
    r"#\s*(?:noqa|type:\s*ignore)\b"
    r"(?::\s*[A-Z]+\d+(?:[,\s]+[A-Z]+\d+)*|\[[\w\-, ]+\])?"  # The codes, as ruff and mypy write them.
)
_REASON = re.compile(r"[A-Za-z]{4,}")
# They wait for a thread or a request to end, after which the cancellation is raised.
_HOLDS_CANCELLATION_BACK = ("targets/threads.py", "targets/s3/tasks.py")


Finding = tuple[int, str]


def findings(text: str, path: Path) -> list[str]:
    """Return a sentence for every rule that the file breaks, each with the line."""
    tree = ast.parse(text)
    of_the_text = [*_name(path), *_length(text), *_comments(text)]
    of_the_tree = [*_functions(tree, path), *_uses(tree, path), *_handlers(tree, path)]
    found = of_the_text + of_the_tree
    return [f"{path}:{line}: {sentence}" for line, sentence in sorted(set(found))]


def leftovers(text: str) -> Iterator[Finding]:
    """Yield where somebody left work for later; for files of every kind."""
    for number, line in enumerate(text.splitlines(), start=1):
        if _LEFTOVER.search(line):
            yield number, "work left for later: do it, or open an issue"


def _name(path: Path) -> Iterator[Finding]:
    if path.stem in BANNED_FILE_NAMES:
        yield 1, f"a module named {path.stem} only ever grows: name it by what it is about"


def _length(text: str) -> Iterator[Finding]:
    count = len(text.splitlines())
    if count > FILE_LINES_MAX:
        yield FILE_LINES_MAX, f"{count} lines in the file, at most {FILE_LINES_MAX}"


def _functions(tree: ast.AST, path: Path) -> Iterator[Finding]:
    if path.as_posix().startswith(_MIGRATIONS):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            count = (node.end_lineno or node.lineno) - node.lineno + 1
            if count > FUNCTION_LINES_MAX:
                yield node.lineno, f"{count} lines in {node.name}, at most {FUNCTION_LINES_MAX}"


def _uses(tree: ast.AST, path: Path) -> Iterator[Finding]:
    names = _imported_names(tree)
    used = [*names.values()]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name):
            used.append((node.lineno, _dotted(node, names)))
        elif isinstance(node, ast.Call):
            name = _dotted(node.func, names)
            yield from _call(node, name)
            if name.endswith(".run_in_executor") and isinstance(node.args[0], ast.Constant):
                used.append((node.lineno, "asyncio.to_thread"))  # The same by another name.
    for line, name in used:
        for banned, homes in BANNED.items():
            if f"{name}.".startswith(f"{banned}.") and not path.as_posix().startswith(homes or ("?",)):
                yield line, f"{banned} may not be used here"


def _imported_names(tree: ast.AST) -> dict[str, Finding]:
    """Return name in the file -> (line, what it stands for)."""
    names: dict[str, Finding] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.asname or alias.name.partition(".")[0]
                names[name] = (node.lineno, alias.name if alias.asname else name)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                names[alias.asname or alias.name] = (node.lineno, f"{node.module}.{alias.name}")
    return names


def _dotted(node: ast.expr, names: dict[str, Finding]) -> str:
    """Return ``a.b().c`` for such an expression, its first name as it was imported; "" for any other one."""
    if isinstance(node, ast.Name):
        return names[node.id][1] if node.id in names else node.id
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, names)}.{node.attr}"
    if isinstance(node, ast.Call):
        return f"{_dotted(node.func, names)}()"
    return ""


def _call(node: ast.Call, name: str) -> Iterator[Finding]:
    if name in _QUEUES:
        sizes = [*node.args[:1], *(keyword.value for keyword in node.keywords if keyword.arg == "maxsize")]
        if not sizes or (isinstance(sizes[0], ast.Constant) and sizes[0].value in (0, None)):
            yield node.lineno, f"{name} without a bound: give it a maxsize"
    if _LOOP_TASK.search(name):
        yield node.lineno, "a task of the loop has no owner: use TaskGroup.create_task"


def _handlers(tree: ast.AST, path: Path) -> Iterator[Finding]:
    """Find what stops a cancellation: handlers of it that do not raise."""
    if path.as_posix() in _HOLDS_CANCELLATION_BACK:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and not any(isinstance(n, ast.Raise) for n in ast.walk(node)):
            caught = ast.unparse(node.type) if node.type else "BaseException"
            if re.search(r"\b(CancelledError|BaseException)\b", caught):
                yield node.lineno, f"except {caught} without a raise swallows a cancellation"


def _comments(text: str) -> Iterator[Finding]:
    yield from leftovers(text)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT:
            continue
        rest, ignored = _IGNORE.subn("", token.string)
        if ignored and not _REASON.search(rest):
            yield token.start[0], "an ignored rule needs its reason in the same line"
