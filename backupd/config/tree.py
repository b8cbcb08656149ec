"""The configuration as frozen values; each field declares its kind, limits and default in one line."""

# ruff: noqa: RUF009 - option() returns what dataclasses.field() does
from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, field
from pathlib import Path
from typing import Any

from backupd.config.kinds import (
    A_NAME,
    ABSOLUTE_PATH,
    ADDRESS,
    FLAG,
    INTEGER,
    NAMES,
    OPTIONAL_NAME,
    OPTIONAL_PATH,
    OPTIONAL_URL,
    OPTIONS,
    PATHS,
    STRATEGY,
    TEXT,
    URL,
    Address,
    Kind,
    integer,
    seconds,
    share,
)
from backupd.model import DEFAULT_CHUNK_SIZE_BYTES, DEFAULT_COMPRESSION_LEVEL
from backupd.retention import KEEP_COUNT_MAX, KEEP_WITHIN_S_MAX, RetentionPolicy

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
class AuditConfig:
    """``[audit]``: how soon all that tracking claims to be unchanged is read once; 0: that bound is not used."""

    cover_within_backups: int = option(integer(0, 1_000_000), 0)
    cover_within_days: float = option(seconds(0, 36500), 30.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetDefaults:
    """``[defaults]``: what every target inherits and may override."""

    operation_timeout_s: float = option(seconds(0.1, 3600), 60.0)
    retries_max: int = option(integer(0, 100), 12)
    operations_max: int = option(integer(1, 1024), 8)
    bytes_per_s: int = option(integer(0, 2**50), 0)
    collect_interval_s: float = option(seconds(0, 366 * 86400), 86400.0)
    collect_live_share_min: float = option(share(), 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetConfig(TargetDefaults):
    """``[targets.NAME]``: one place where backups go."""

    name: str
    url: str = option(URL)
    options: Mapping[str, Any] = field(default_factory=dict, metadata={"kind": OPTIONS})
    single_writer: bool = option(FLAG, False)
    scrub_bytes_per_day: int = option(integer(0, 2**60), 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionConfig:
    """``[retention.NAME]``: how many backups each rule keeps; 0: the rule is not used."""

    keep_last: int = option(integer(0, KEEP_COUNT_MAX), 0)
    keep_hourly: int = option(integer(0, KEEP_COUNT_MAX), 0)
    keep_daily: int = option(integer(0, KEEP_COUNT_MAX), 0)
    keep_weekly: int = option(integer(0, KEEP_COUNT_MAX), 0)
    keep_monthly: int = option(integer(0, KEEP_COUNT_MAX), 0)
    keep_yearly: int = option(integer(0, KEEP_COUNT_MAX), 0)
    keep_within_s: int = option(integer(0, KEEP_WITHIN_S_MAX), 0)

    @property
    def policy(self) -> RetentionPolicy:
        """What it says, as backups are judged by it."""
        return RetentionPolicy(**asdict(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupTypeConfig:
    """``[backup_types.NAME]``: the fields of a backup type; ``backupd.type_rules`` has their limits."""

    target: str = option(A_NAME)
    copies: tuple[str, ...] = option(NAMES, ())
    quorum: int = option(INTEGER, 1)
    chunk_size_bytes: int = option(INTEGER, DEFAULT_CHUNK_SIZE_BYTES)
    compression_level: int = option(INTEGER, DEFAULT_COMPRESSION_LEVEL)
    is_encrypted: bool = option(FLAG, True)
    is_deduplicated: bool = option(FLAG, True)
    bytes_per_s: int = option(INTEGER, 0)
    verify_bytes: int = option(INTEGER, 0)
    retention: str | None = option(OPTIONAL_NAME, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyConfig:
    """``[policy]`` and ``[projects.NAME]``: which type a volume without one has, and which a request may name."""

    default_backup_type: str | None = option(OPTIONAL_NAME, None)
    request_backup_types: tuple[str, ...] = option(NAMES, ())


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockStorageConfig:
    """``[block_storage]``: what ``/v3`` makes; without ``volumes_dir`` it makes no volumes."""

    volumes_dir: Path | None = option(OPTIONAL_PATH, None)
    availability_zone: str = option(A_NAME, "nova")


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotasConfig:
    """``[quotas]``: what each project may have, unless an operator has set another limit for it; -1 is no limit."""

    backups: int = option(integer(-1, 2**31 - 1), -1)
    backup_gigabytes: int = option(integer(-1, 2**31 - 1), -1)
    volumes: int = option(integer(-1, 2**31 - 1), -1)
    snapshots: int = option(integer(-1, 2**31 - 1), -1)
    gigabytes: int = option(integer(-1, 2**31 - 1), -1)
    per_volume_gigabytes: int = option(integer(-1, 2**31 - 1), -1)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthConfig:
    """``[auth]``: who may call; the ``keystone_`` keys are those of the service user that asks about tokens."""

    strategy: str = option(STRATEGY, "")
    keystone_url: str | None = option(OPTIONAL_URL, None)
    keystone_user: str = option(TEXT, "backupd")
    keystone_user_domain: str = option(TEXT, "Default")
    keystone_password_file: Path | None = option(OPTIONAL_PATH, None)
    keystone_project: str = option(TEXT, "service")
    keystone_project_domain: str = option(TEXT, "Default")
    token_cache_s: float = option(seconds(0, 3600), 60.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole file. ``projects`` have what they inherit from ``policy`` in them."""

    daemon: DaemonConfig
    paths: PathsConfig
    targets: Mapping[str, TargetConfig]
    # ``[sources.KIND]``: the options of each kind of source that may be read besides files and devices.
    sources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    audit: AuditConfig = AuditConfig()
    retention: Mapping[str, RetentionConfig] = field(default_factory=dict)
    backup_types: Mapping[str, BackupTypeConfig] = field(default_factory=dict)
    policy: PolicyConfig = PolicyConfig()
    projects: Mapping[str, PolicyConfig] = field(default_factory=dict)
    block_storage: BlockStorageConfig = BlockStorageConfig()
    quotas: QuotasConfig = QuotasConfig()
    auth: AuthConfig = AuthConfig()
    rules: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def made_paths(self) -> tuple[Path, ...]:
        """Where the daemon makes volumes: nowhere, or in one directory."""
        directory = self.block_storage.volumes_dir
        return () if directory is None else (directory,)

    def policy_of(self, project: str) -> PolicyConfig:
        """Return what holds for one project."""
        return self.projects.get(project, self.policy)

    def named_backup_types(self) -> Iterator[tuple[str, str]]:
        """Yield each key that names a backup type, and the name; what a project inherits is named once."""
        sections = {"policy": self.policy} | {f"projects.{name}": own for name, own in self.projects.items()}
        seen = set()
        for section, own in sections.items():
            names = [] if own.default_backup_type is None else [("default_backup_type", own.default_backup_type)]
            names += [("request_backup_types", name) for name in own.request_backup_types]
            for key, name in names:
                if (key, name) not in seen:
                    seen.add((key, name))
                    yield f"{section}.{key}", name
