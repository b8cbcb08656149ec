"""``backupd key``: master keys printed, taken in, changed and let go. The daemon is stopped meanwhile."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from backupd.clock import SystemClock
from backupd.config import Config
from backupd.configured_targets import open_targets
from backupd.errors import BackupdError, Conflict, KeyMismatch
from backupd.repository import key_text, keyring, layout
from backupd.repository.keyring import Keyring
from backupd.repository.rewrapping import Rewrapped, master_keys_of, renew_previous, rewrap
from backupd.repository.survey import owners_on
from backupd.state_dir import locked
from chunker.errors import UnknownFormat
from targets.base import Target
from targets.errors import TargetError
from targets.wrappers.prefix import Prefix

_TEXT_BYTES_MAX = 64 * 1024


def list_keys(config: Config) -> list[str]:
    """Return a line for each key of the ring, the current one first."""
    ring = keyring.load(_path(config))
    return [f"{one}{'  current' if one == ring.current_fingerprint else ''}" for one in ring.fingerprints]


def export(config: Config, *, to: Path | None) -> list[str]:
    """Write every key as text to a new file that only its owner reads, or without one return the text."""
    ring = keyring.load(_path(config))
    text = "\n".join(key_text.write(ring.key(one)) for one in ring.fingerprints)
    if to is None:
        return [text.rstrip("\n")]
    try:
        with os.fdopen(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise KeyMismatch(f"{to}: cannot be written: {reason}; expected the name of a new file") from error
    return [f"{len(ring.fingerprints)} keys are in {to}"]


def take_in(config: Config, *, origin: Path | None) -> list[str]:
    """Add the keys of a text, or of a key file, to the ring; without a ring yet they are it.

    KeyMismatch says which line is wrong, and then nothing is changed.
    """
    if origin is None:
        found = key_text.read_any(sys.stdin.read(_TEXT_BYTES_MAX))
    else:
        ring = key_text.load(origin)
        found = [ring.key(one) for one in ring.fingerprints]
    with locked(config.daemon.state_dir) as state:
        known = _known(state.master_key)
        fresh = {keyring.fingerprint(key): key for key in found if keyring.fingerprint(key) not in known}
        if fresh:
            _store(state.master_key, [*known.values(), *fresh.values()])
    return [
        *(f"{one} was added" for one in fresh),
        *(f"{one} was there already" for one in map(keyring.fingerprint, found) if one in known),
    ]


async def rotate(config: Config) -> list[str]:
    """Make a new master key the current one, then rewrap every repository; the old one stays in the ring."""
    with locked(config.daemon.state_dir) as state:
        ring = keyring.load(state.master_key)
        keys = [keyring.new_key(), *(ring.key(one) for one in ring.fingerprints)]
        # The ring first: from here on either key opens what it must, whenever this stops.
        ring = _store(state.master_key, keys)
        lines = [f"{ring.current_fingerprint} is the current key now; keep a copy of it: backupd key export"]
        return lines + await _rewrap(config, ring)


async def rewrap_all(config: Config) -> list[str]:
    """Rewrap every repository that is not under the current key yet, as when a rotation was interrupted."""
    with locked(config.daemon.state_dir) as state:
        return await _rewrap(config, keyring.load(state.master_key))


async def retire(config: Config, fingerprint: str) -> list[str]:
    """Take a key out of the ring. Conflict while a repository on any target needs it, or one cannot be asked."""
    with locked(config.daemon.state_dir) as state:
        ring = keyring.load(state.master_key)
        ring.key(fingerprint)
        if fingerprint == ring.current_fingerprint:
            raise Conflict(f"key {fingerprint} is the current one; expected one that a rotation has replaced")
        async with _targets(config) as targets:
            # An error of a target ends it: nobody knows which key is needed there.
            places = {where: store for name in targets for where, store in await _repositories(name, targets[name])}
            for where, store in places.items():
                if fingerprint in await master_keys_of(store):
                    raise Conflict(f"key {fingerprint} is needed by {where}\nHINT: backupd key rewrap")
            for store in places.values():
                await renew_previous(store)
        _store(state.master_key, [ring.key(one) for one in ring.fingerprints if one != fingerprint])
    return [f"{fingerprint} is in the key file no longer; its copies elsewhere are yours to destroy"]


async def _rewrap(config: Config, ring: Keyring) -> list[str]:
    """Return a line for each repository, and one more that says whether the old keys are still needed."""
    lines, failed = [], []
    async with _targets(config) as targets:
        for name, target in targets.items():
            try:
                places = await _repositories(name, target)
            except TargetError as error:
                failed.append(f"target {name}: NOT rewrapped: {error}")
                continue
            for where, store in places:
                try:
                    outcome = await rewrap(store, ring)
                except (BackupdError, TargetError, UnknownFormat) as error:
                    failed.append(f"{where}: NOT rewrapped: {error}")
                    continue
                if outcome is not Rewrapped.ABSENT:
                    lines.append(f"{where}: {outcome}")
    if failed:
        raise _Incomplete("\n".join([*lines, *failed, "HINT: both keys stay in the ring; then: backupd key rewrap"]))
    return [*lines, "every repository is under the current key"]


class _Incomplete(BackupdError):
    """Some repository is still under an old key."""

    code = "key.rewrap_incomplete"


@asynccontextmanager
async def _targets(config: Config) -> AsyncIterator[Mapping[str, Target]]:
    async with AsyncExitStack() as stack:
        opened = await open_targets(config, SystemClock(), stack)
        yield {name: one.limited for name, one in opened.items()}


async def _repositories(name: str, target: Target) -> list[tuple[str, Target]]:
    """Return every place on a target where a repository is, with a name for people. TargetError."""
    prefixes = [layout.prefix(project, is_encrypted=is_encrypted) for project, is_encrypted in await owners_on(target)]
    return [(f"target {name}: {prefix}", Prefix(target, prefix)) for prefix in prefixes]


def _path(config: Config) -> Path:
    return config.daemon.state_dir / "master.key"


def _store(path: Path, keys: Sequence[bytes]) -> Keyring:
    try:
        return keyring.store(path, keys)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise KeyMismatch(f"{path}: cannot be written: {reason}; it is as it was") from error


def _known(path: Path) -> dict[str, bytes]:
    if not path.exists():
        return {}
    ring = keyring.load(path)
    return {one: ring.key(one) for one in ring.fingerprints}
