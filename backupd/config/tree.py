"""The configuration as frozen values; each field declares its kind, limits and default in one line."""

# ruff: noqa: RUF009 - option() returns what dataclasses.field() does
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import Any

from backupd.config.kinds import (
    ABSOLUTE_PATH,
    ADDRESS,
    FLAG,
    OPTIONAL_PATH,
    OPTIONS,
    PATHS,
    URL,
    Address,
    Kind,
    integer,
    seconds,
)

JOB_MEMORY_BYTES_MIN = 32 * 1024**2


def option(kind: Kind, default: Any = MISSING) -> Any:
    """Declare a key of the file; without ``default`` it must be there."""
    return field(default=default, metadata={"kind": kind})


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonConfig:
    """``[daemon]``: the process itself."""

    state_dir: Path = option(ABSOLUTE_PATH, Path("/var/lib/backupd"))
    listen: Address = option(ADDRESS, Address("127.0.0.1", 8776))
    token_file: Path | None = option(OPTIONAL_PATH, None)
    workers: int = option(integer(0, 1024), 0)
    memory_limit_bytes: int = option(integer(JOB_MEMORY_BYTES_MIN, 2**40), 80 * 1024**2)
    running_jobs_max: int = option(integer(1, 256), 2)
    shutdown_timeout_s: float = option(seconds(0, 3600), 30.0)
    copies_interval_s: float = option(seconds(0.1, 86400), 60.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PathsConfig:
    """``[paths]``: what may be read and written. Nothing, unless the operator says so."""

    sources: tuple[Path, ...] = option(PATHS, ())
    restores: tuple[Path, ...] = option(PATHS, ())


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetDefaults:
    """``[defaults]``: what every target inherits and may override."""

    operation_timeout_s: float = option(seconds(0.1, 3600), 60.0)
    retries_max: int = option(integer(0, 100), 12)
    operations_max: int = option(integer(1, 1024), 8)
    bytes_per_s: int = option(integer(0, 2**50), 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetConfig(TargetDefaults):
    """``[targets.NAME]``: one place where backups go."""

    name: str
    url: str = option(URL)
    options: Mapping[str, Any] = field(default_factory=dict, metadata={"kind": OPTIONS})
    single_writer: bool = option(FLAG, False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole file."""

    daemon: DaemonConfig
    paths: PathsConfig
    targets: Mapping[str, TargetConfig]
