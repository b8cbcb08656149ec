"""What this server can do: with backups, with each kind of source, on each target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import backupd
from backupd.application.targets import Targets
from backupd.config import Config
from backupd.type_rules import CHUNK_SIZE_BYTES_MAX, CHUNK_SIZE_BYTES_MIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """Shows what follows from the version and the configuration."""

    config: Config
    targets: Targets

    def found(self) -> dict[str, Any]:
        """Return one document."""
        return {
            "version": backupd.__version__,
            "server": {
                "apis": ["/v1", "/v3"],
                "chunk_size_bytes": {"min": CHUNK_SIZE_BYTES_MIN, "max": CHUNK_SIZE_BYTES_MAX},
                "incremental": True,
                "delete_any_backup": True,
                "resume_after_restart": True,
                "makes_volumes": self.config.block_storage.volumes_dir is not None,
                "running_jobs_max": self.config.daemon.running_jobs_max,
            },
            "sources": {kind: _source(kind) for kind in sorted({"file", *self.config.sources})},
            "targets": {one.name: asdict(one.capabilities) for one in self.targets.all()},
        }


def _source(kind: str) -> Mapping[str, bool]:
    """Return what is known of a kind without opening one; of files and devices that is all."""
    is_file = kind == "file"
    return {"changed_block_tracking": not is_file, "holes": True, "can_be_restored_to": is_file}
