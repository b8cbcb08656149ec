"""Epochs: how many condemnations there were, and which of them a job knows of (docs/collection.md)."""

from __future__ import annotations

import secrets

from sqlalchemy import Connection, bindparam, insert, select, update

from backupd.catalog.collection_tables import catalog_state, job_epochs
from backupd.model import Job, JobKind

REUSING = (JobKind.BACKUP, JobKind.COPY, JobKind.REPLICATE, JobKind.IMPORT)
"""The kinds of jobs that leave something out because it is on a target already."""

_KNOWN = select(job_epochs.c.job_id).where(job_epochs.c.job_id == bindparam("wanted"))
_INSERT = insert(job_epochs)
_STATE = select(catalog_state.c.catalog_id, catalog_state.c.epoch)


def catalog_id(connection: Connection) -> str:
    """Return the name of this catalog, drawn when it is asked for first."""
    found: str = _state(connection)[0]
    return found


def current(connection: Connection) -> int:
    """Return the epoch of now."""
    return int(_state(connection)[1])


def advance(connection: Connection) -> int:
    """Begin the next epoch and return it."""
    epoch = current(connection) + 1
    connection.execute(update(catalog_state).values(epoch=epoch))
    return epoch


def note(connection: Connection, job: Job) -> None:
    """Write down in which epoch a job was claimed first."""
    if job.kind not in REUSING:
        return
    if connection.execute(_KNOWN, {"wanted": job.id}).first() is None:
        connection.execute(_INSERT, {"job_id": job.id, "epoch": current(connection)})


def _state(connection: Connection) -> tuple[str, int]:
    if (found := connection.execute(_STATE).first()) is None:
        connection.execute(insert(catalog_state).values(number=1, catalog_id=secrets.token_hex(16), epoch=0))
        found = connection.execute(_STATE).one()
    return found.catalog_id, found.epoch
