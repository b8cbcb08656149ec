"""The keys of repositories sealed anew with the current master key."""

from __future__ import annotations

from enum import StrEnum

from backupd.errors import BackupdError, CorruptObject
from backupd.repository import description, layout
from backupd.repository.keyring import Keyring
from chunker.errors import UnknownFormat
from targets.base import Target
from targets.errors import ObjectNotFound


class Rewrapped(StrEnum):
    """What became of one place."""

    ABSENT = "no repository"
    CURRENT = "already under the current key"
    DONE = "rewrapped"


async def rewrap(store: Target, keyring: Keyring) -> Rewrapped:
    """Seal the keys of the repository at ``store`` with the current key of ``keyring``, which keeps the old one.

    Safe at each crash point: what was there stays as ``repository.previous.json``, the new one replaces it by one
    ``put``, which every target does as a whole or not at all, and either opens with a key of the ring. KeyMissing
    and KeyMismatch when none opens it now; CorruptObject when what was stored cannot be read back as it should be,
    and then the old one was put back.
    """
    before = await _stored(store)
    if before is None:
        return Rewrapped.ABSENT
    opened = description.read(before, keyring)
    if description.master_key_of(before) == keyring.current_fingerprint:
        return Rewrapped.CURRENT
    await store.put(layout.PREVIOUS, before)
    await store.put(layout.REPOSITORY, description.write(opened, keyring))
    if not await _opens_to(opened, store, keyring):
        await store.put(layout.REPOSITORY, before)
        raise CorruptObject(f"{layout.REPOSITORY}: what was stored was not what is read back; the old one was put back")
    return Rewrapped.DONE


async def master_keys_of(store: Target) -> set[str]:
    """Return the fingerprints of the master keys that the repository at ``store`` needs, none when there is none."""
    stored = await _stored(store)
    return set() if stored is None else {description.master_key_of(stored)}


async def renew_previous(store: Target) -> None:
    """Let the previous generation be the same as the current one, when there are both."""
    try:
        await store.head(layout.PREVIOUS)
        body = await store.get(layout.REPOSITORY)
    except ObjectNotFound:
        return
    await store.put(layout.PREVIOUS, body)


async def _stored(store: Target) -> bytes | None:
    """Return what a repository says about itself, the previous generation where the current one is lost."""
    for key in (layout.REPOSITORY, layout.PREVIOUS):
        try:
            return await store.get(key)
        except ObjectNotFound:
            continue
    return None


async def _opens_to(expected: description.Description, store: Target, keyring: Keyring) -> bool:
    try:
        return description.read(await store.get(layout.REPOSITORY), keyring) == expected
    except (BackupdError, UnknownFormat):
        return False
