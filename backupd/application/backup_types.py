"""Backup types: the policy that volumes name."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from uuid import uuid4

from backupd.application.fields import check_name, invalid
from backupd.application.targets import Targets
from backupd.catalog.store import Catalog
from backupd.clock import Clock
from backupd.config import Config
from backupd.errors import Conflict, InvalidRequest
from backupd.model import DEFAULT_CHUNK_SIZE_BYTES, DEFAULT_COMPRESSION_LEVEL, BackupType
from backupd.type_rules import type_problems
from targets.base import Capabilities


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBackupType:
    """A request for a backup type; the fields are those of the model."""

    name: str
    target: str
    copies: tuple[str, ...] = ()
    quorum: int = 1
    chunk_size_bytes: int = DEFAULT_CHUNK_SIZE_BYTES
    compression_level: int = DEFAULT_COMPRESSION_LEVEL
    is_encrypted: bool = True
    is_deduplicated: bool = True
    bytes_per_s: int = 0
    verify_bytes: int = 0
    retention: str | None = None


@dataclass(frozen=True, slots=True)
class BackupTypeDetail:
    """A type, what each of its targets can do (None: it is configured no longer), and what is wrong with it by now."""

    backup_type: BackupType
    targets: dict[str, Capabilities | None]
    problems: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupTypes:
    """Adds, shows and removes backup types; those of the configuration are only shown."""

    catalog: Catalog
    clock: Clock
    targets: Targets
    config: Config

    async def add(self, new: NewBackupType) -> BackupType:
        """Return the type that was added. Raises InvalidRequest, or Conflict when the name is taken."""
        check_name("name", new.name)
        if problems := wrong_with(new, self.config):
            raise InvalidRequest("; ".join(problems))
        backup_type = BackupType(id=str(uuid4()), created_at=self.clock.now(), **asdict(new))
        await self.catalog.add_backup_type(backup_type)
        return backup_type

    async def all(self) -> list[BackupType]:
        """Return every type."""
        return await self.catalog.backup_types()

    async def one(self, id_or_name: str) -> BackupType:
        """Return one type. Raises NotFound."""
        return await self.catalog.backup_type(id_or_name)

    def detail(self, backup_type: BackupType) -> BackupTypeDetail:
        """Return a type with what there is to know about it."""
        targets = {name: self.targets.capabilities(name) for name in backup_type.targets}
        return BackupTypeDetail(backup_type, targets, wrong_with(backup_type, self.config))

    async def remove(self, id_or_name: str) -> None:
        """Remove a type. Raises NotFound, or Conflict while a volume or the configuration uses it."""
        found = await self.one(id_or_name)
        if found.is_configured:
            raise Conflict(
                f'backup type "{found.name}" is the configuration\'s: only [backup_types.{found.name}] changes it, '
                "or removes it"
            )
        for key, name in self.config.named_backup_types():
            if name == found.name:
                raise Conflict(f'backup type "{found.name}" is in use by {key} of the configuration')
        await self.catalog.delete_backup_type(found.id)


def wrong_with(value: NewBackupType | BackupType, config: Config) -> list[str]:
    """Return what is wrong with a type by this configuration, field by field."""
    found = type_problems(asdict(value), targets=config.targets, retentions=config.retention)
    return [str(invalid(one.field, one.value, one.expected)) for one in found]
