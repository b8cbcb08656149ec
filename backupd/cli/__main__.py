"""``backupctl``, also as ``python -m backupd.cli``. It imports nothing slow before an interrupt is taken care of."""

from __future__ import annotations

import sys

_INTERRUPTED = 130


def main() -> int:
    """Run ``backupctl`` with the arguments of this process and return its exit code."""
    try:
        from backupd.cli.main import main as run  # noqa: PLC0415 - slow, and an interrupt may come meanwhile

        return run()
    except KeyboardInterrupt:
        return _INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
