"""``backupctl list --from`` and ``backupctl restore --from``, which need no daemon.

The only commands that need more of this house than the command line, so it is loaded only for them.
"""

from __future__ import annotations

from collections.abc import Sequence

_VERBS = ("list", "restore")


def is_wanted(arguments: Sequence[str]) -> bool:
    """Tell whether these arguments are for a target, not for a daemon."""
    has_target = any(one == "--from" or one.startswith("--from=") for one in arguments)
    return has_target and bool(arguments) and arguments[0] in _VERBS


def run(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code."""
    from backupd.offline import main  # noqa: PLC0415 - see above

    return main(arguments)
