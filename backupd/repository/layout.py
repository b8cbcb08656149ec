"""The object keys of a repository. Each is derived from an id; none is ever read from an object. Pure."""

from __future__ import annotations

import re
import uuid

REPOSITORY = "repository.json"
PREVIOUS = "repository.previous.json"
PACKS = "packs/"
MANIFESTS = "manifests/"
FORWARDS = "forward/"
CONDEMNED = "condemned/"
WRITERS = "writers/"
_CATALOG_ID = re.compile(r"[0-9a-f]{32}")
_PROJECT = "[a-z0-9][a-z0-9-]{0,63}"


def pack(pack_id: bytes) -> str:
    """Return the key of a pack; the two digits keep directories small."""
    name = pack_id.hex()
    return f"{PACKS}{name[:2]}/{name}"


def pack_id(key: str) -> bytes | None:
    """Return the id of the pack with this key; None for a key that no pack of ours has."""
    name = key.rpartition("/")[2]
    if not re.fullmatch(r"[0-9a-f]{32}", name) or pack(bytes.fromhex(name)) != key:
        return None
    return bytes.fromhex(name)


def forward(pack_id: bytes) -> str:
    """Return the key of the object that says where the frames of a compacted pack are."""
    name = pack_id.hex()
    return f"{FORWARDS}{name[:2]}/{name}"


def forwarded_pack_id(key: str) -> bytes | None:
    """Return the id of the pack whose forward has this key; None for a key that no forward of ours has."""
    return pack_id(key.replace(FORWARDS, PACKS, 1)) if key.startswith(FORWARDS) else None


def condemned(catalog_id: str, number: int) -> str:
    """Return the key of one part of what the daemons of a catalog are about to delete."""
    return f"{CONDEMNED}{_checked(catalog_id)}/{number}"


def condemning_catalog(key: str) -> str | None:
    """Return the catalog that a key of ``condemned`` is of; None for a key that is none."""
    found = re.fullmatch(rf"{CONDEMNED}([0-9a-f]{{32}})/\d+", key)
    return found[1] if found else None


def writer(catalog_id: str) -> str:
    """Return the key of the object that says that the daemons of one catalog write here."""
    return WRITERS + _checked(catalog_id)


def spare(catalog_id: str) -> str:
    """Return the key of what the daemons of a catalog delete to have room on a full target."""
    return f"{writer(catalog_id)}.spare"


def locked(catalog_id: str) -> str:
    """Return the key of what tells when the daemons of a catalog last locked what is needed for longer."""
    return f"{writer(catalog_id)}.locked"


def catalog_id(key: str) -> str | None:
    """Return the catalog that a writer's key is of; None for a key that no writer of ours has."""
    name = key.removeprefix(WRITERS)
    return name if key.startswith(WRITERS) and _CATALOG_ID.fullmatch(name) else None


def manifest(backup_id: str) -> str:
    """Return the key of a backup's manifest; ValueError unless ``backup_id`` is a UUID in its usual form."""
    if str(uuid.UUID(backup_id)) != backup_id:
        raise ValueError(f"backup id {backup_id!r}: expected a UUID in lower case with hyphens")
    return f"{MANIFESTS}{backup_id}"


def backup_id(key: str) -> str | None:
    """Return whose manifest has this key; None for a key that no manifest of ours has."""
    name = key.removeprefix(MANIFESTS)
    try:
        return name if key.startswith(MANIFESTS) and manifest(name) == key else None
    except ValueError:
        return None


def _checked(catalog_id: str) -> str:
    if not _CATALOG_ID.fullmatch(catalog_id):
        raise ValueError(f"catalog id {catalog_id!r}: expected 32 hexadecimal digits")
    return catalog_id


def prefix(project: str, *, is_encrypted: bool) -> str:
    """Return where a project's repository lives on a target; encrypted and plain ones never mix."""
    if not re.fullmatch(_PROJECT, project):
        raise ValueError(f"project {project!r}: expected up to 64 lower-case letters, digits and hyphens")
    return f"{project}/{'encrypted' if is_encrypted else 'plain'}/"


def owner(key: str) -> tuple[str, bool] | None:
    """Return project and ``is_encrypted`` of the repository that a key of a target is in; None for any other key."""
    found = re.match(rf"({_PROJECT})/(encrypted|plain)/", key)
    return (found[1], found[2] == "encrypted") if found else None
