"""What the configuration says about backup types, brought to the catalog when the daemon starts."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from uuid import uuid4

from backupd.application.backup_types import wrong_with
from backupd.catalog.store import Catalog
from backupd.clock import Clock
from backupd.config import Config
from backupd.errors import ConfigError
from backupd.model import BackupType

_log = logging.getLogger(__name__)


async def apply_configuration(config: Config, catalog: Catalog, clock: Clock) -> None:
    """Make the configured types the catalog's, and warn of those that no longer fit.

    ConfigError lists every type that is named and not there, and every name that is taken.
    """
    known = {one.name: one for one in await catalog.backup_types()}
    types = [
        BackupType(id=str(uuid4()), name=name, created_at=clock.now(), is_configured=True, **asdict(fields))
        for name, fields in config.backup_types.items()
    ]
    problems = [*_taken(types, known), *_unknown(config, known)]
    if problems:
        raise ConfigError(*problems)
    await catalog.configure_backup_types(types)
    for one in await catalog.backup_types():
        for problem in wrong_with(one, config):
            _log.warning('backup type "%s" cannot be used as it is: %s', one.name, problem)


def _taken(types: Sequence[BackupType], known: Mapping[str, BackupType]) -> Iterator[str]:
    for one in types:
        old = known.get(one.name)
        if old is not None and not old.is_configured and not old.says_the_same(one):
            yield (
                f"backup_types.{one.name}: expected what the type of that name says that was made through the API, "
                "or a name that none has\n"
                f"HINT: leave the section out, start, and see: backupctl type show {one.name}"
            )


def _unknown(config: Config, known: Mapping[str, BackupType]) -> Iterator[str]:
    there = {*known, *config.backup_types}
    for key, name in config.named_backup_types():
        if name not in there:
            yield f"{key} = {name!r}: expected a backup type: {', '.join(sorted(there)) or 'there is none yet'}"
