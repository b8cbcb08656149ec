"""Exception -> problem document (RFC 9457), in one place."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from backupd.errors import BackupdError
from targets.errors import TargetError

_log = logging.getLogger(__name__)
_KEPT_HEADERS = (hdrs.ALLOW,)
_HTTP_CODES = {
    HTTPStatus.FORBIDDEN: "request.forbidden",
    HTTPStatus.NOT_FOUND: "not_found",
    HTTPStatus.METHOD_NOT_ALLOWED: "request.method_not_allowed",
    HTTPStatus.NOT_ACCEPTABLE: "request.version",
    HTTPStatus.REQUEST_TIMEOUT: "request.timeout",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "request.too_large",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "request.media_type",
}


@web.middleware
async def answer_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer whatever is raised below with a problem document; the unforeseen is logged in full."""
    try:
        return await handler(request)
    except BackupdError as error:
        if error.http_status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.error("request failed: %s: %s", error.code, error)
        return _problem(error.http_status, error.code, str(error))
    except TargetError as error:
        _log.warning("target failed: %s: %s", error.code, error)
        return _problem(HTTPStatus.BAD_GATEWAY, error.code, str(error))
    except web.HTTPException as error:
        return _from_aiohttp(request, error)
    except Exception:  # noqa: BLE001 - the last resort; logged in full
        _log.exception("request failed for a reason that nobody foresaw")
        detail = "the daemon failed; its log says why"
        return _problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", detail)


def _from_aiohttp(request: web.Request, error: web.HTTPException) -> web.Response:
    code = _HTTP_CODES.get(HTTPStatus(error.status), "request.invalid")
    if error.status == HTTPStatus.METHOD_NOT_ALLOWED:
        detail = f"{request.method} is not possible here; expected {error.headers[hdrs.ALLOW]}"
    elif error.status == HTTPStatus.NOT_FOUND:
        detail = f"there is nothing at {request.rel_url.raw_path}"
    else:
        detail = error.text or error.reason
    headers = {str(name): error.headers[name] for name in _KEPT_HEADERS if name in error.headers}
    return _problem(error.status, code, detail, headers)


def _problem(status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> web.Response:
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    answer = dict(headers or {})
    if status == HTTPStatus.UNAUTHORIZED:
        answer[hdrs.WWW_AUTHENTICATE] = "Bearer"
    return web.json_response(body, status=status, content_type="application/problem+json", headers=answer)
