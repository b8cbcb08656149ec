"""What Alembic runs: migrations on the connection that the caller gives."""

from __future__ import annotations

from alembic import context

import backupd.catalog.condition_tables
import backupd.catalog.group_tables  # noqa: F401 - they add their tables to the metadata
from backupd.catalog.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
