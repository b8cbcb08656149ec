"""What makes ``backupctl`` fail; each class has its exit code.

CommandError (1)     the operation failed
├── InvalidInput (2)     the daemon or the command line refuses what was asked
├── Unreachable (3)      no daemon answers there
├── NotFound (4)         there is no such thing
├── Conflict (5)         the thing is not in the state that the operation needs
└── Refused (6)          no valid token
"""

from __future__ import annotations

from http import HTTPStatus


class CommandError(Exception):
    """The operation failed; the message is for people."""

    exit_code = 1


class InvalidInput(CommandError):
    """What was asked makes no sense."""

    exit_code = 2


class Unreachable(CommandError):
    """No daemon answers."""

    exit_code = 3


class NotFound(CommandError):
    """There is no such thing."""

    exit_code = 4


class Conflict(CommandError):
    """The thing is not in the state that the operation needs."""

    exit_code = 5


class Refused(CommandError):
    """The daemon wants a valid token."""

    exit_code = 6


_BY_STATUS = {
    HTTPStatus.UNAUTHORIZED: Refused,
    HTTPStatus.FORBIDDEN: Refused,
    HTTPStatus.NOT_FOUND: NotFound,
    HTTPStatus.CONFLICT: Conflict,
}


def from_problem(status: int, detail: str) -> CommandError:
    """Return the error for a problem document."""
    if status in _BY_STATUS:
        return _BY_STATUS[HTTPStatus(status)](detail)
    is_ours = HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
    return InvalidInput(detail) if is_ours else CommandError(detail)
