"""Cinder's own PosixBackupDriver, unmodified, without the services around it. Runs in an environment that has Cinder.

Its database and its context are stood in for by a file and what the driver asks of them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from cinder import context, objects
from cinder.backup.drivers.posix import PosixBackupDriver
from cinder.volume import volume_utils
from oslo_config import cfg

GIB = 1024**3


class Backup(SimpleNamespace):
    """A row of Cinder's table of backups, kept in a file."""

    file: Path

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    def save(self) -> None:
        rows = _rows(self.file)
        rows[self.id] = {name: value for name, value in vars(self).items() if name != "file"}
        self.file.write_text(json.dumps(rows))

    def refresh(self) -> None:
        """Nobody else changes it."""

    @contextmanager
    def as_read_deleted(self) -> Iterator[None]:
        yield


def _rows(file: Path) -> dict[str, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = json.loads(file.read_text()) if file.exists() else {}
    return rows


def main() -> None:
    """Back up or restore one image."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repository", type=Path, required=True)
    parser.add_argument("--compression", default="zlib")
    parser.add_argument("--object-bytes", type=int)
    parser.add_argument("--parent")
    parser.add_argument("action", choices=["backup", "restore"])
    parser.add_argument("name")
    parser.add_argument("path", type=Path)
    options = parser.parse_args()
    rows = options.repository / "rows.json"
    objects.register_all()
    cfg.CONF([], project="cinder", default_config_files=[])
    cfg.CONF.set_override("connection", "sqlite://", group="database")
    cfg.CONF.set_override("state_path", str(options.repository))
    cfg.CONF.set_override("backup_compression_algorithm", options.compression)
    if options.object_bytes:
        cfg.CONF.set_override("backup_file_size", options.object_bytes)
    objects.Backup.get_by_id = staticmethod(lambda _, name: Backup(file=rows, **_rows(rows)[name]))
    volume_utils.notify_about_backup_usage = lambda *_, **__: None
    asked = context.RequestContext("user", "project", is_admin=True)
    driver = PosixBackupDriver(asked, backup_path=str(options.repository / "objects"))
    driver.get_metadata = lambda _: None
    if options.action == "backup":
        _back_up(driver, options, rows)
    else:
        _restore(driver, options)


def _back_up(driver: Any, options: argparse.Namespace, rows: Path) -> None:
    size_bytes = options.path.stat().st_size
    size_gib = -(-size_bytes // GIB)
    driver.db = SimpleNamespace(volume_get=lambda _, name: {"id": name, "size": size_gib})
    backup = Backup(
        file=rows,
        id=options.name,
        volume_id="volume",
        parent_id=options.parent,
        size=size_gib,
        size_bytes=size_bytes,
        status="creating",
        container=None,
        service_metadata=None,
        display_name=options.name,
        display_description="",
        created_at=str(datetime.now(UTC)),
        object_count=0,
    )
    backup.save()
    with options.path.open("rb") as image:
        driver.backup(backup, image, backup_metadata=False)
    backup.status = "available"
    backup.save()


def _restore(driver: Any, options: argparse.Namespace) -> None:
    backup = objects.Backup.get_by_id(None, options.name)
    backup.status = "restoring"
    with options.path.open("wb+") as image:
        image.truncate(backup.size_bytes)
        driver.restore(backup, "volume", image, True)  # The volume is new.


if __name__ == "__main__":
    main()
