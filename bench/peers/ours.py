"""Ours, as it is used: a running daemon, asked through its API."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, ClassVar

from bench.daemon import Daemon
from bench.peers.images import Image
from bench.peers.tool import Cost, Tool
from tests.support.servers.process import free_port


class Backupd(Tool):
    """Processor time is that of the daemon and of the client, which is this process; memory is the daemon's."""

    name = "backupd"
    about = "a running daemon with its default settings, a local target; seconds are those of the job"
    is_encrypted = True
    kind: ClassVar[dict[str, Any]] = {}

    def open(self) -> None:
        self._daemon = Daemon(self.root, threads=0, port=free_port())
        self._daemon.__enter__()
        self.repository = self.root / "target"
        self._backups: dict[str, str] = {}
        self._daemon.post("/v1/backup-types", {"name": "measured", "target": "local", **self.kind})

    def close(self) -> None:
        self._daemon.__exit__(None, None, None)

    def back_up(self, image: Image) -> Cost:
        request: dict[str, Any] = {"volume": "disk", "mode": "full"}
        if image.parent is None:
            self._daemon.post("/v1/volumes", {"name": "disk", "path": str(self.disk), "backup_type": "measured"})
        else:
            changed = [{"offset_bytes": offset, "length_bytes": length} for offset, length in image.extents]
            parent = self._backups[image.parent.name]
            request = {"volume": "disk", "mode": "incremental", "parent": parent, "changed_extents": changed}
        return self._run("/v1/backups", request, image.name)

    def verify(self) -> Cost:
        newest = list(self._backups.values())[-1]
        return self._run("/v1/verifications", {"backup": newest})

    def restore(self, image: Image, to: Path) -> Cost:
        return self._run("/v1/restores", {"backup": self._backups[image.name], "path": str(to)})

    def _run(self, path: str, request: dict[str, Any], name: str = "") -> Cost:
        client_s = time.process_time()
        job = self._daemon.run(path, request)
        client_s = time.process_time() - client_s
        if name:
            self._backups[name] = job["backup_id"]
        return Cost(job["wall_s"], job["cpu_s"] + client_s, job["memory_peak_bytes"])


class PlainBackupd(Backupd):
    name = "backupd, plain"
    about = "the same with a backup type that is not encrypted"
    is_encrypted = False
    kind: ClassVar[dict[str, Any]] = {"is_encrypted": False}
