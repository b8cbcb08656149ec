"""Every error that the daemon itself raises.

BackupdError
├── InvalidRequest      a field of a request is wrong; the message names field, value and what was expected
├── Unauthorized        the request carries no valid token
├── NotFound            no such volume, backup, job, ...
├── Conflict            the thing is not in the state that the operation needs
│   └── WrongStatus     likewise, of block storage; it has the status
├── Forbidden           the caller's roles do not allow it
├── QuotaExceeded       the project has used up what it may have
├── Unavailable         what the request needs does not answer now, or is not configured
├── ConfigError         the configuration file is wrong; the message names file, key and value
├── CatalogError        the database cannot be used
├── LeaseLost           another worker has taken the job over; this one must stop
├── KeyMissing          the master key that a repository needs is not here
├── KeyMismatch         the key that is here is not the one that the repository needs
├── RepositoryMismatch  two targets that should hold one repository hold different ones
├── TargetUnfit         a target does not do what a promise hangs on; the message says which
└── CorruptObject       a stored object is damaged or lost; the message names its key
    └── LostPack        a pack is not there; its frames may have been moved elsewhere
"""

from __future__ import annotations

import json
from pathlib import Path

_SHOWN_CHARACTERS_MAX = 100


class BackupdError(Exception):
    """The root of all errors of the daemon; ``code`` is stable, ``http_status`` is for the API."""

    code = "internal"
    http_status = 500


class InvalidRequest(BackupdError):
    """A request is malformed; the message names the field, the value and what was expected."""

    code = "request.invalid"
    http_status = 400


class Unauthorized(BackupdError):
    """The request carries no valid token."""

    code = "request.unauthorized"
    http_status = 401


class NotFound(BackupdError):
    """There is no such thing."""

    code = "not_found"
    http_status = 404


class Conflict(BackupdError):
    """The thing is not in the state that the operation needs."""

    code = "conflict"
    http_status = 409


class WrongStatus(Conflict):
    """A volume, snapshot or backup is not in a status that the operation needs; ``status`` is the one it has."""

    code = "conflict.status"

    def __init__(self, noun: str, thing_id: str, status: str) -> None:
        super().__init__(f"{noun} {thing_id} is {status}")
        self.status = status


class Forbidden(BackupdError):
    """The caller's roles do not allow it; the message names the rule."""

    code = "request.forbidden"
    http_status = 403


class QuotaExceeded(BackupdError):
    """The project has used up what it may have of ``resource``."""

    code = "quota.exceeded"
    http_status = 413

    def __init__(self, resource: str, *, requested: int, limit: int, in_use: int) -> None:
        super().__init__(f"{resource}: requested {requested}, but the quota is {limit} and {in_use} are in use")
        self.resource = resource
        self.requested = requested
        self.limit = limit
        self.in_use = in_use


class Unavailable(BackupdError):
    """What the request needs does not answer now, or is not configured."""

    code = "unavailable"
    http_status = 503


class ConfigError(BackupdError):
    """The configuration is wrong; each problem names key and value, and whoever knows the file adds it."""

    code = "config.invalid"

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems

    def within(self, file: Path) -> ConfigError:
        """Return the error with the name of the file in front of each problem."""
        return ConfigError(*(f"{file}: {problem}" for problem in self.problems))


class CatalogError(BackupdError):
    """The catalog database cannot be used."""

    code = "catalog.unavailable"


class LeaseLost(BackupdError):
    """Another worker has taken the job over; this one must stop."""

    code = "job.lease_lost"


class KeyMissing(BackupdError):
    """The master key that a repository needs is not here; the message names it."""

    code = "key.missing"


class KeyMismatch(BackupdError):
    """The key that is here is not the one that the repository needs."""

    code = "key.mismatch"


class RepositoryMismatch(BackupdError):
    """Two targets that should hold the same repository hold different ones."""

    code = "repository.mismatch"


class TargetUnfit(BackupdError):
    """A target does not do what a promise hangs on; the message says what was seen and which promise."""

    code = "target.unfit"


class CorruptObject(BackupdError):
    """A stored object is damaged or lost; the message names its key, and ``pack_id`` the pack if it is one."""

    code = "repository.corrupt"

    def __init__(self, message: str, *, pack_id: bytes | None = None) -> None:
        super().__init__(message)
        self.pack_id = pack_id


class LostPack(CorruptObject):
    """A pack is not there; its frames may have been moved elsewhere."""


def shown(value: object) -> str:
    """Return a value for a message, cut short: nobody needs back the megabytes that he sent."""
    # Of a list or an object only the kind: it may hold a million items.
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    text = json.dumps(value)
    return text if len(text) <= _SHOWN_CHARACTERS_MAX else f"{text[:_SHOWN_CHARACTERS_MAX]}..."


def no_such(kind: str, name: str | None) -> NotFound:
    """Return the error that there is nothing of that kind with that name or id."""
    return NotFound(f"there is no {kind} {shown(name)}")
