"""The daemon's HTTP API as a few calls."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

import aiohttp

from backupd.cli.errors import InvalidInput, Unreachable, from_problem

_REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=120, sock_connect=10)


class Client:
    """One session with the daemon at ``url``; ``token`` is sent and never shown. Raises InvalidInput."""

    def __init__(self, url: str, token: str | None) -> None:
        _check_url(url)
        self._url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._session = aiohttp.ClientSession(headers=headers, timeout=_REQUEST_TIMEOUT)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()

    async def get(self, path: str, query: Mapping[str, str | None] | None = None) -> Any:
        """Return the document at ``path``. Raises CommandError."""
        given = {name: value for name, value in (query or {}).items() if value is not None}
        return await self._call("GET", path, query=given)

    async def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Send ``body`` without its empty fields and return the answer. Raises CommandError."""
        given = None if body is None else {name: value for name, value in body.items() if value is not None}
        return await self._call("POST", path, body=given)

    async def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """Send ``body`` as it is, None included, and return the answer. Raises CommandError."""
        return await self._call("PATCH", path, body=body)

    async def put(self, path: str, body: Mapping[str, Any]) -> Any:
        """Send ``body`` without its empty fields and return the answer. Raises CommandError."""
        return await self._call("PUT", path, body={name: value for name, value in body.items() if value is not None})

    async def delete(self, path: str) -> Any:
        """Delete ``path`` and return the answer, None when it is empty. Raises CommandError."""
        return await self._call("DELETE", path)

    async def _call(self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Any = None) -> Any:
        # A stream, because a million extents are sent piece by piece.
        data = None if body is None else io.BytesIO(json.dumps(body).encode())
        headers = None if body is None else {"Content-Type": "application/json"}
        try:
            async with self._session.request(
                method, f"{self._url}{path}", params=query, data=data, headers=headers, allow_redirects=False
            ) as response:
                return self._answer(response.status, response.content_type, await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"no daemon answers at {self._url}: {_reason(error)}") from error

    def _answer(self, status: int, content_type: str, body: bytes) -> Any:
        if status == 204:
            return None
        try:
            document = json.loads(body)
        except ValueError:
            document = None
        if content_type == "application/problem+json" and isinstance(document, dict):
            raise from_problem(status, str(document.get("detail", "no detail")))
        if content_type == "application/json" and 200 <= status < 300:
            return document
        raise Unreachable(f"{self._url} does not answer as backupd does: HTTP {status}, {content_type}")


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # The port.
        is_usable = False
    if not is_usable:
        raise InvalidInput(f"--url {url}: expected a url such as http://127.0.0.1:8776")


def path_of(collection: str, name: str, *rest: str) -> str:
    """Return the path of one thing; ``name`` may hold any character."""
    return "/".join([f"/v1/{collection}", quote(name, safe=""), *rest])


def read_token(path: str | None) -> str | None:
    """Return the first token in the file ``path``. Raises InvalidInput."""
    if path is None:
        return None
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"--token-file {path}: cannot be read: {_reason(error)}") from error
    for line in lines:
        words = line.split()
        if words and not words[0].startswith("#"):
            return words[0]  # Behind it a daemon's token file says whose it is.
    raise InvalidInput(f"--token-file {path}: holds no token")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno).lower()
    return str(error) or type(error).__name__
