"""Block storage in the catalog: what a volume and a backup have for people, snapshots, attachments, quotas."""

from __future__ import annotations
