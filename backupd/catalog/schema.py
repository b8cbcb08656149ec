"""Brings a database to the schema of this version."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from backupd.errors import CatalogError

HEAD = "0010"
"""The newest revision in ``migrations/versions``; a test holds it to that."""
_MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade(connection: Connection) -> None:
    """Apply the revisions that are missing. CatalogError when a newer version has been here."""
    found = _revision(connection)
    if found == HEAD:
        return
    # Here and not above: Alembic costs 10 MiB that a daemon whose schema is up to date need not carry.
    from alembic import command  # noqa: PLC0415 - see above
    from alembic.config import Config  # noqa: PLC0415 - see above
    from alembic.util import CommandError  # noqa: PLC0415 - see above

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))  # As ConfigParser has it.
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise CatalogError(
            f"the catalog has schema revision {found}, which is newer than this version's {HEAD}: {error}\n"
            "HINT: run the version of backupd that has used this state directory last"
        ) from error


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return revision
