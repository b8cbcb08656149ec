"""Block storage: volumes, snapshots and their backups as the Cinder API asks for them.

The messages of what is raised here go to tenants: they have Cinder's words, and name no path, target or device.
"""

from __future__ import annotations
