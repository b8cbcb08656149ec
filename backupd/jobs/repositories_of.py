"""Which repositories a project has on a target, as jobs on whole targets see them."""

from __future__ import annotations

from dataclasses import dataclass

from backupd.errors import BackupdError, CorruptObject, KeyMismatch
from backupd.model import RepositoryName
from backupd.repository import layout
from backupd.repository.opened import Repositories
from backupd.repository.repository import Repository
from chunker.errors import UnknownFormat
from targets.base import Target
from targets.errors import TargetError


@dataclass(frozen=True, slots=True)
class RepositoryScope:
    """One repository of a project on one target. ``store`` is the target from its prefix on."""

    target: str
    project: str
    is_encrypted: bool
    store: Target

    @property
    def prefix(self) -> str:
        """Where it lives on the target."""
        return layout.prefix(self.project, is_encrypted=self.is_encrypted)


def scopes(repositories: Repositories, project: str, target: str) -> list[RepositoryScope]:
    """Return the places of both repositories, encrypted and plain; there need not be one. ConfigError."""
    names = [RepositoryName(project, target, is_encrypted) for is_encrypted in (True, False)]
    return [RepositoryScope(target, project, one.is_encrypted, repositories.part_of(one)) for one in names]


async def opened(repositories: Repositories, scope: RepositoryScope, others: list[str]) -> Repository:
    """Return the repository with the keys that its ``repository.json`` has, or if that is damaged that of a copy.

    KeyMissing and KeyMismatch when the key is not here; CorruptObject when there is no sound one.
    """
    try:
        return await repositories.open(scope.project, [scope.target], is_encrypted=scope.is_encrypted)
    except (CorruptObject, KeyMismatch, UnknownFormat):
        for other in others:
            try:
                found = await repositories.open(scope.project, [other], is_encrypted=scope.is_encrypted)
            except (BackupdError, UnknownFormat, TargetError):
                continue
            return found.through(scope.store)
        raise
