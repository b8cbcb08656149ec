"""Backup types: the policy that volumes name."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid4

from backupd.application.fields import check_integer, check_name, invalid
from backupd.application.targets import Targets
from backupd.catalog.store import Catalog
from backupd.clock import Clock
from backupd.model import DEFAULT_CHUNK_SIZE_BYTES, DEFAULT_COMPRESSION_LEVEL, BackupType

CHUNK_SIZE_BYTES_MIN = 64 * 1024
CHUNK_SIZE_BYTES_MAX = 4 * 1024**2
COMPRESSION_LEVEL_MAX = 19


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBackupType:
    """A request for a backup type."""

    name: str
    target: str
    chunk_size_bytes: int = DEFAULT_CHUNK_SIZE_BYTES
    compression_level: int = DEFAULT_COMPRESSION_LEVEL
    is_encrypted: bool = True
    is_deduplicated: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupTypes:
    """Adds, shows and removes backup types."""

    catalog: Catalog
    clock: Clock
    targets: Targets

    async def add(self, new: NewBackupType) -> BackupType:
        """Return the type that was added. Raises InvalidRequest, or Conflict when the name is taken."""
        check_name("name", new.name)
        self.targets.check_known(new.target)
        _check_chunk_size(new.chunk_size_bytes)
        check_integer("compression_level", new.compression_level, minimum=1, maximum=COMPRESSION_LEVEL_MAX)
        backup_type = BackupType(
            id=str(uuid4()),
            name=new.name,
            target=new.target,
            created_at=self.clock.now(),
            chunk_size_bytes=new.chunk_size_bytes,
            compression_level=new.compression_level,
            is_encrypted=new.is_encrypted,
            is_deduplicated=new.is_deduplicated,
        )
        await self.catalog.add_backup_type(backup_type)
        return backup_type

    async def all(self) -> list[BackupType]:
        """Return every type."""
        return await self.catalog.backup_types()

    async def one(self, id_or_name: str) -> BackupType:
        """Return one type. Raises NotFound."""
        return await self.catalog.backup_type(id_or_name)

    async def remove(self, id_or_name: str) -> None:
        """Remove a type. Raises NotFound, or Conflict while a volume uses it."""
        await self.catalog.delete_backup_type((await self.one(id_or_name)).id)


def _check_chunk_size(size_bytes: int) -> None:
    is_power_of_two = size_bytes > 0 and size_bytes & (size_bytes - 1) == 0
    if not is_power_of_two or not CHUNK_SIZE_BYTES_MIN <= size_bytes <= CHUNK_SIZE_BYTES_MAX:
        expected = f"a power of two from {CHUNK_SIZE_BYTES_MIN} (64 KiB) to {CHUNK_SIZE_BYTES_MAX} (4 MiB)"
        raise invalid("chunk_size_bytes", size_bytes, expected)
