"""``python -m backupd.cli`` is ``backupctl``."""

from __future__ import annotations

import sys

from backupd.cli.main import main

sys.exit(main())
