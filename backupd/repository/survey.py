"""What targets tell of themselves: every published backup, and which targets have it. No database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from backupd.errors import CorruptObject, KeyMismatch, KeyMissing, RepositoryMismatch
from backupd.repository import layout
from backupd.repository.keyring import Keyring
from backupd.repository.manifest import Manifest
from backupd.repository.repository import Repository, read_description
from chunker.errors import UnknownFormat
from targets.base import Target
from targets.errors import ObjectNotFound
from targets.wrappers.prefix import Prefix


@dataclass(frozen=True, slots=True)
class Published:
    """A backup, of which project, and the targets that have it, in the order in which they were asked."""

    project: str
    is_encrypted: bool
    manifest: Manifest
    targets: list[str]


@dataclass(slots=True)
class Survey:
    """What was found. ``problems``: what is damaged, by sentences that name it."""

    backups: dict[str, Published] = field(default_factory=dict)
    repositories: dict[tuple[str, str, bool], Repository] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


async def owners_on(target: Target) -> list[tuple[str, bool]]:
    """Return project and ``is_encrypted`` of each repository that has left anything on a target.

    Lists all of it, since nothing else knows every project: Keystone's come without anybody telling us.
    """
    return sorted({owner async for info in target.list("") if (owner := layout.owner(info.key)) is not None})


async def survey(targets: Mapping[str, Target], keyring: Keyring, *, project: str | None = None) -> Survey:
    """Read every manifest on ``targets``, or those of one project.

    KeyMissing and KeyMismatch name the key that a repository needs; RepositoryMismatch when two targets hold two
    repositories of one project, which no catalog can describe. An error of a target is the caller's.
    """
    found = Survey()
    for name, target in targets.items():
        owners = await owners_on(target) if project is None else [(project, True), (project, False)]
        for owner, is_encrypted in owners:
            prefix = layout.prefix(owner, is_encrypted=is_encrypted)
            store = Prefix(target, prefix)
            repository = await _repository(found, name, prefix, store, keyring, is_encrypted=is_encrypted)
            if repository is not None:
                found.repositories[name, owner, is_encrypted] = repository
                await _manifests(found, name, owner, prefix, repository)
            elif await _has_manifests(store):
                found.problems.append(f"target {name}: {prefix} has backups, and nothing that tells how to read them")
    _check_alike(found)
    return found


async def _repository(
    found: Survey, name: str, prefix: str, store: Target, keyring: Keyring, *, is_encrypted: bool
) -> Repository | None:
    where = f"target {name}: {prefix}"
    for key in (layout.REPOSITORY, layout.PREVIOUS):
        try:
            body = await store.get(key)
            return Repository(store, read_description(body, keyring, is_encrypted=is_encrypted))
        except ObjectNotFound:
            continue
        except (CorruptObject, UnknownFormat) as error:
            found.problems.append(f"{where}{error}")
        except (KeyMissing, KeyMismatch) as error:
            raise type(error)(f"{where}{error}") from error
    return None


async def _has_manifests(store: Target) -> bool:
    async for _ in store.list(layout.MANIFESTS):
        return True
    return False


async def _manifests(found: Survey, name: str, project: str, prefix: str, repository: Repository) -> None:
    async for backup_id in repository.backup_ids():
        try:
            manifest = await repository.manifest(backup_id)
        except (CorruptObject, UnknownFormat) as error:
            found.problems.append(f"target {name}: {prefix}{error}")
            continue
        if manifest is not None:
            published = Published(project, repository.is_encrypted, manifest, [])
            found.backups.setdefault(backup_id, published).targets.append(name)


def _check_alike(found: Survey) -> None:
    ids: dict[tuple[str, bool], dict[bytes, str]] = {}
    for (target, project, is_encrypted), repository in found.repositories.items():
        ids.setdefault((project, is_encrypted), {}).setdefault(repository.keys.repository_id, target)
    for (project, _), of_project in ids.items():
        if len(of_project) > 1:
            listed = ", ".join(f"{target} has {one.hex()}" for one, target in of_project.items())
            raise RepositoryMismatch(f"the targets hold different repositories of project {project}: {listed}")
