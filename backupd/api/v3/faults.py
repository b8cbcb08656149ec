"""Exception -> the body that Cinder has for it, in one place."""

from __future__ import annotations

import logging
from http import HTTPStatus

from aiohttp import hdrs, web

from backupd.api.v3.microversions import HEADER, VersionNotSupported
from backupd.errors import BackupdError, NotFound, QuotaExceeded, Unavailable
from targets.errors import TargetError

_log = logging.getLogger(__name__)
_SERVER_ERROR = HTTPStatus.INTERNAL_SERVER_ERROR
_NAMES = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    409: "conflictingRequest",
    413: "overLimit",
    415: "badMediaType",
    501: "notImplemented",
    503: "serviceUnavailable",
}
_QUOTAS = {
    "backups": "BackupLimitExceeded: Maximum number of backups allowed ({limit}) exceeded",
    "backup_gigabytes": (
        "VolumeBackupSizeExceedsAvailableQuota: Requested backup exceeds allowed Backup gigabytes quota. "
        "Requested {requested}G, quota is {limit}G and {in_use}G has been consumed."
    ),
    "volumes": "VolumeLimitExceeded: Maximum number of volumes allowed ({limit}) exceeded for quota 'volumes'.",
    "snapshots": "SnapshotLimitExceeded: Maximum number of snapshots allowed ({limit}) exceeded",
    "gigabytes": (
        "VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed gigabytes quota. "
        "Requested {requested}G, quota is {limit}G and {in_use}G has been consumed."
    ),
    "per_volume_gigabytes": (
        "VolumeSizeExceedsLimit: Requested volume size {requested}G is larger than maximum allowed limit {limit}G."
    ),
}
_INTERNAL = "The server has either erred or is incapable of performing the requested operation."


class NoRoute(BackupdError):
    """There is no such path or method."""

    http_status = 404


class ChangedMeanwhile(BackupdError):
    """It is not any more as who asks has seen it."""

    http_status = 412


def no_route() -> web.Response:
    """Return the answer to a path or method that there is not."""
    body = {
        "message": "The resource could not be found.<br /><br />\n\n\n",
        "code": "404 Not Found",
        "title": "Not Found",
    }
    return web.json_response(body, status=404)


def fault(error: Exception) -> web.Response:
    """Return the answer to whatever was raised; the unforeseen is logged in full and told to nobody."""
    if isinstance(error, NoRoute):
        return no_route()
    if isinstance(error, VersionNotSupported):
        return _answer(error.http_status, str(error), {HEADER: f"volume {error.asked}"})
    if isinstance(error, QuotaExceeded):
        text = _QUOTAS.get(error.resource, str(error))
        return _answer(413, text.format(requested=error.requested, limit=error.limit, in_use=error.in_use))
    if isinstance(error, Unavailable):
        _log.warning("request failed: %s", error, exc_info=error.__cause__)
    if isinstance(error, Unavailable) or (isinstance(error, BackupdError) and error.http_status < _SERVER_ERROR):
        return _answer(error.http_status, str(error))
    return _others(error)


def _others(error: Exception) -> web.Response:
    if isinstance(error, web.HTTPException) and error.status < _SERVER_ERROR:
        return _answer(error.status, error.text or error.reason)
    if isinstance(error, TargetError):
        _log.warning("target failed: %s: %s", error.code, error)
    else:
        _log.error("request failed for a reason that nobody foresaw", exc_info=error)
    return _answer(500, _INTERNAL)


def missing(noun: str, name: str) -> NotFound:
    """Return the error that there is no such thing."""
    return NotFound(f"{noun} {name} could not be found.")


def _answer(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    name = _NAMES.get(status, "computeFault")
    body: dict[str, object] = {"code": status, "message": message}
    answer = dict(headers or {})
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        body["retryAfter"] = answer[hdrs.RETRY_AFTER] = "0"
    if status == HTTPStatus.UNAUTHORIZED:
        return web.json_response({"error": {**body, "title": "Unauthorized"}}, status=status, headers=answer)
    return web.json_response({name: body}, status=status, headers=answer)
