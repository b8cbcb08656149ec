"""Reads the configuration file into the tree, or says everything that is wrong with it at once."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, asdict, fields
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from backupd.access import ROLES, RULES
from backupd.config.callers import daemon_problems
from backupd.config.kinds import NAME
from backupd.config.tree import (
    AuditConfig,
    AuthConfig,
    BackupTypeConfig,
    BlockStorageConfig,
    Config,
    DaemonConfig,
    PathsConfig,
    PolicyConfig,
    QuotasConfig,
    RetentionConfig,
    TargetConfig,
    TargetDefaults,
)
from backupd.errors import ConfigError
from backupd.type_rules import type_problems

SECTIONS = (
    "daemon",
    "paths",
    "sources",
    "audit",
    "defaults",
    "targets",
    "retention",
    "backup_types",
    "policy",
    "projects",
    "block_storage",
    "quotas",
    "auth",
    "rules",
)
_Section = TypeVar(
    "_Section",
    AuditConfig,
    DaemonConfig,
    PathsConfig,
    TargetDefaults,
    TargetConfig,
    RetentionConfig,
    BackupTypeConfig,
    PolicyConfig,
    BlockStorageConfig,
    QuotasConfig,
    AuthConfig,
)


def default_path() -> Path:
    """Return the file that ``BACKUPD_CONFIG`` names, or the usual one."""
    return Path(os.environ.get("BACKUPD_CONFIG") or "/etc/backupd/backupd.toml")


def load(path: Path) -> Config:
    """Return the configuration in ``path``. Raises ConfigError that lists every problem, one per line."""
    reader = _Reader()
    config = reader.config(_document(path))
    if config is None or reader.problems:
        raise ConfigError(*reader.problems).within(path)
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
        sources = dict(self._named(self._table(document, "sources"), "sources"))
        audit = self._section(AuditConfig, self._table(document, "audit"), prefix="audit.")
        defaults = self._section(TargetDefaults, self._table(document, "defaults"), prefix="defaults.")
        targets = self._targets(self._table(document, "targets"), defaults or TargetDefaults())
        retention = self._retention(self._table(document, "retention"))
        backup_types = self._backup_types(self._table(document, "backup_types"), document)
        policy = self._section(PolicyConfig, self._table(document, "policy"), prefix="policy.")
        projects = self._projects(self._table(document, "projects"), policy or PolicyConfig())
        block_storage = self._section(
            BlockStorageConfig, self._table(document, "block_storage"), prefix="block_storage."
        )
        quotas = self._section(QuotasConfig, self._table(document, "quotas"), prefix="quotas.")
        auth = self._section(AuthConfig, self._table(document, "auth"), prefix="auth.")
        rules = self._rules(self._table(document, "rules"))
        if daemon is not None and auth is not None:
            self.problems.extend(daemon_problems(daemon, auth))
        if daemon is None or paths is None or policy is None or block_storage is None or quotas is None or auth is None:
            return None
        return Config(
            daemon=daemon,
            paths=paths,
            targets=targets,
            sources=MappingProxyType(sources),
            audit=audit or AuditConfig(),
            retention=retention,
            backup_types=backup_types,
            policy=policy,
            projects=projects,
            block_storage=block_storage,
            quotas=quotas,
            auth=auth,
            rules=rules,
        )

    def _rules(self, table: dict[str, Any]) -> Mapping[str, tuple[str, ...]]:
        self._refuse_unknown(table, tuple(RULES), prefix="rules.")
        for rule, roles in table.items():
            if not isinstance(roles, list) or not all(role in ROLES for role in roles):
                self.problems.append(f"rules.{rule!r}: expected a list of roles: {', '.join(ROLES)}")
        return MappingProxyType({rule: tuple(roles) for rule, roles in table.items() if isinstance(roles, list)})

    def _targets(self, table: dict[str, Any], defaults: TargetDefaults) -> Mapping[str, TargetConfig]:
        if not table:
            self.problems.append("targets: expected at least one section [targets.NAME] with a url")
        inherited = asdict(defaults)
        named = {
            name: self._section(TargetConfig, own, prefix=f"targets.{name}.", known={**inherited, "name": name})
            for name, own in self._named(table, "targets")
        }
        return _whole(named)

    def _retention(self, table: dict[str, Any]) -> Mapping[str, RetentionConfig]:
        named = {
            name: self._section(RetentionConfig, own, prefix=f"retention.{name}.")
            for name, own in self._named(table, "retention")
        }
        return _whole(named)

    def _backup_types(self, table: dict[str, Any], document: dict[str, Any]) -> Mapping[str, BackupTypeConfig]:
        # A section with a problem of its own is there all the same for whoever names it.
        known = {key: _names(document.get(key)) for key in ("targets", "retention")}
        named: dict[str, BackupTypeConfig | None] = {}
        for name, own in self._named(table, "backup_types"):
            prefix = f"backup_types.{name}."
            values, is_whole = self._values(BackupTypeConfig, own, prefix=prefix)
            found = type_problems(values, targets=known["targets"], retentions=known["retention"])
            self.problems.extend(f"{prefix}{one.field} = {one.value!r}: expected {one.expected}" for one in found)
            named[name] = BackupTypeConfig(**values) if is_whole else None
        return _whole(named)

    def _projects(self, table: dict[str, Any], policy: PolicyConfig) -> Mapping[str, PolicyConfig]:
        named = {
            name: self._section(PolicyConfig, own, prefix=f"projects.{name}.", known=asdict(policy))
            for name, own in self._named(table, "projects")
        }
        return _whole(named)

    def _named(self, table: dict[str, Any], key: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield name and table of each section ``[key.NAME]``."""
        for name in table:
            if NAME.fullmatch(name):
                yield name, self._table(table, name, prefix=f"{key}.")
            else:
                self.problems.append(
                    f"{key}.{name!r}: expected a name of up to 128 letters, digits, '.', '_' and '-' "
                    "that starts with a letter or digit"
                )

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
        values, is_whole = self._values(section, table, prefix=prefix, known=known)
        return section(**values) if is_whole else None

    def _values(
        self,
        section: type[_Section],
        table: dict[str, Any],
        *,
        prefix: str,
        known: dict[str, Any] | None = None,
    ) -> tuple[dict[str, Any], bool]:
        """Return the values of a section without those that are wrong, and whether there was no problem at all.

        What is not in the file is as ``known``, or else has its default.
        """
        options = {field.name: field for field in fields(section) if "kind" in field.metadata}
        problems_before = len(self.problems)
        self._refuse_unknown(table, tuple(options), prefix=prefix)
        values = {name: field.default for name, field in options.items() if field.default is not MISSING}
        values |= known or {}
        for name, field in options.items():
            if name in table:
                self._read(field, table[name], values, prefix=prefix)
            elif field.default is MISSING and field.default_factory is MISSING:
                self.problems.append(f"{prefix}{name}: missing; expected {field.metadata['kind'].expected}")
        return values, len(self.problems) == problems_before

    def _read(self, field: Field[Any], value: Any, values: dict[str, Any], *, prefix: str) -> None:
        kind = field.metadata["kind"]
        values.pop(field.name, None)
        try:
            values[field.name] = kind.parse(value)
        except ValueError:
            self.problems.append(f"{prefix}{field.name} = {kind.show(value)}: expected {kind.expected}")

    def _refuse_unknown(self, table: dict[str, Any], allowed: tuple[str, ...], *, prefix: str) -> None:
        for key in (key for key in table if key not in allowed):
            close = get_close_matches(key, allowed, n=1)
            advice = f'did you mean "{close[0]}"?' if close else f"expected one of {', '.join(allowed)}"
            self.problems.append(f"{prefix}{key}: unknown key; {advice}")


def _names(table: Any) -> list[str]:
    return [name for name in table if NAME.fullmatch(name)] if isinstance(table, dict) else []


def _whole(named: dict[str, _Section | None]) -> Mapping[str, _Section]:
    """Return the sections that have no problem, to be read only."""
    return MappingProxyType({name: section for name, section in named.items() if section is not None})


def _reason(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
