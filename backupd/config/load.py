"""Reads the configuration file into the tree, or says everything that is wrong with it at once."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, asdict, fields
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from backupd.config.tree import (
    JOB_MEMORY_BYTES_MIN,
    Config,
    DaemonConfig,
    PathsConfig,
    TargetConfig,
    TargetDefaults,
)
from backupd.errors import ConfigError

SECTIONS = ("daemon", "paths", "defaults", "targets")
_TARGET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_Section = TypeVar("_Section", DaemonConfig, PathsConfig, TargetDefaults, TargetConfig)


def default_path() -> Path:
    """Return the file that ``BACKUPD_CONFIG`` names, or the usual one."""
    return Path(os.environ.get("BACKUPD_CONFIG") or "/etc/backupd/backupd.toml")


def load(path: Path) -> Config:
    """Return the configuration in ``path``. Raises ConfigError that lists every problem, one per line."""
    reader = _Reader()
    config = reader.config(_document(path))
    if config is None or reader.problems:
        raise ConfigError("\n".join(f"{path}: {problem}" for problem in reader.problems))
    return config


def _document(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text at byte {error.start}") from error
    except ValueError as error:  # tomllib names the line; an integer of thousands of digits is a bare ValueError.
        raise ConfigError(f"{path}: not valid TOML: {error}") from error
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read: {_reason(error)}\n"
            "HINT: name the configuration file with --config or BACKUPD_CONFIG"
        ) from error


class _Reader:
    """Collects problems while it builds the sections; a section with a problem is None."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def config(self, document: dict[str, Any]) -> Config | None:
        """Return the tree, or None when there are problems."""
        self._refuse_unknown(document, SECTIONS, prefix="")
        daemon = self._section(DaemonConfig, self._table(document, "daemon"), prefix="daemon.")
        paths = self._section(PathsConfig, self._table(document, "paths"), prefix="paths.")
        defaults = self._section(TargetDefaults, self._table(document, "defaults"), prefix="defaults.")
        targets = self._targets(self._table(document, "targets"), defaults or TargetDefaults())
        if daemon is not None:
            self.problems.extend(_daemon_problems(daemon))
        if daemon is None or paths is None:
            return None
        return Config(daemon=daemon, paths=paths, targets=targets)

    def _targets(self, table: dict[str, Any], defaults: TargetDefaults) -> Mapping[str, TargetConfig]:
        if not table:
            self.problems.append("targets: expected at least one section [targets.NAME] with a url")
        targets = {}
        for name in table:
            if not _TARGET_NAME.fullmatch(name):
                self.problems.append(
                    f"targets.{name!r}: expected a name of up to 128 letters, digits, '.', '_' and '-' "
                    "that starts with a letter or digit"
                )
                continue
            own = self._table(table, name, prefix="targets.")
            target = self._section(
                TargetConfig, own, prefix=f"targets.{name}.", known={**asdict(defaults), "name": name}
            )
            if target is not None:
                targets[name] = target
        return MappingProxyType(targets)

    def _table(self, parent: dict[str, Any], key: str, *, prefix: str = "") -> dict[str, Any]:
        table = parent.get(key, {})
        if isinstance(table, dict):
            return table
        # The value is not repeated: what stands in the wrong place may be a secret.
        self.problems.append(f"{prefix}{key}: expected a section [{prefix}{key}], not a value")
        return {}

    def _section(
        self,
        section: type[_Section],
        table: dict[str, Any],
        *,
        prefix: str,
        known: dict[str, Any] | None = None,
    ) -> _Section | None:
        options = {field.name: field for field in fields(section) if "kind" in field.metadata}
        problems_before = len(self.problems)
        self._refuse_unknown(table, tuple(options), prefix=prefix)
        values = dict(known or {})
        for name, field in options.items():
            if name in table:
                values[name] = self._value(field, table[name], prefix=prefix)
            elif field.default is MISSING and field.default_factory is MISSING:
                self.problems.append(f"{prefix}{name}: missing; expected {field.metadata['kind'].expected}")
        return None if len(self.problems) > problems_before else section(**values)

    def _value(self, field: Field[Any], value: Any, *, prefix: str) -> Any:
        kind = field.metadata["kind"]
        try:
            return kind.parse(value)
        except ValueError:
            self.problems.append(f"{prefix}{field.name} = {kind.show(value)}: expected {kind.expected}")

    def _refuse_unknown(self, table: dict[str, Any], allowed: tuple[str, ...], *, prefix: str) -> None:
        for key in (key for key in table if key not in allowed):
            close = get_close_matches(key, allowed, n=1)
            advice = f'did you mean "{close[0]}"?' if close else f"expected one of {', '.join(allowed)}"
            self.problems.append(f"{prefix}{key}: unknown key; {advice}")


def _daemon_problems(daemon: DaemonConfig) -> Iterator[str]:
    """Yield what is wrong with values that are fine one by one."""
    if daemon.memory_limit_bytes // daemon.running_jobs_max < JOB_MEMORY_BYTES_MIN:
        yield (
            f"daemon.memory_limit_bytes = {daemon.memory_limit_bytes}: expected at least "
            f"{JOB_MEMORY_BYTES_MIN} for each of {daemon.running_jobs_max} running jobs "
            f"(daemon.running_jobs_max), that is {JOB_MEMORY_BYTES_MIN * daemon.running_jobs_max}"
        )
    if daemon.token_file is not None:
        yield from _token_file_problems(daemon.token_file)
    elif not daemon.listen.is_loopback:
        yield (
            f"daemon.listen = '{daemon.listen}': expected a loopback address such as "
            "127.0.0.1:8776, or a token file in daemon.token_file: without one "
            "everybody on the network could read and overwrite volumes"
        )


def _token_file_problems(path: Path) -> Iterator[str]:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        yield f"daemon.token_file = '{path}': cannot be read: {_reason(error)}"
        return
    if not stat.S_ISREG(mode):
        yield f"daemon.token_file = '{path}': expected a regular file"
    elif mode & 0o077:
        yield (
            f"daemon.token_file = '{path}': has mode {stat.S_IMODE(mode):04o}; expected a file that only its "
            f"owner can read\nHINT: chmod 0600 {path}"
        )
    elif not os.access(path, os.R_OK):
        yield f"daemon.token_file = '{path}': cannot be read by this user"


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
