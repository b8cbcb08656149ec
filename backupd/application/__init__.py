"""What can be asked of the daemon, one module per resource; the APIs are thin skins over it."""

from __future__ import annotations

from backupd.application.application import Application, build_application

__all__ = ["Application", "build_application"]
