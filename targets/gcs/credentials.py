"""Who we are to the service: credentials, and the tokens that they give for a while.

google-auth blocks (disk, metadata server, token endpoint), so it runs in a thread of its own.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import google.auth
import requests
from google.auth.credentials import Credentials, TokenState
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, RefreshError, TransportError
from google.auth.transport.requests import Request
from google.oauth2 import service_account

from targets.errors import Misconfigured, PermissionDenied, TargetError, Unavailable
from targets.gcs.options import GcsOptions
from targets.threads import shut_down

_SCOPES = ("https://www.googleapis.com/auth/devstorage.read_write",)
_REQUEST_TIMEOUT_S = 20.0

Load = Callable[[], Credentials]


def credentials_of(options: GcsOptions) -> Load | None:
    """Return what loads the credentials that the options speak of, or None. A key file is read at once."""
    if options.anonymous:
        return None
    if options.credentials_file is None:
        return default_credentials
    key = service_account_credentials(options.credentials_file)
    return lambda: key


def service_account_credentials(path: str) -> Credentials:
    """Return the credentials in a key file. Misconfigured names what is wrong with it, never its content."""
    try:
        key = json.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise Misconfigured(f"option credentials_file: {path}: {error.strerror}") from error
    except ValueError:
        raise Misconfigured(f"option credentials_file: {path} is no JSON, expected a service account key") from None
    if not isinstance(key, dict) or key.get("type") != "service_account":
        found = key.get("type") if isinstance(key, dict) else type(key).__name__
        raise Misconfigured(f"option credentials_file: {path} holds {found!r}, expected a service account key")
    try:
        made: Credentials = service_account.Credentials.from_service_account_info(key, scopes=_SCOPES)  # type: ignore[no-untyped-call]  # google-auth has no annotations here
    except (ValueError, GoogleAuthError):  # Their messages may quote the key.
        raise Misconfigured(f"option credentials_file: {path} is not a whole service account key") from None
    return made


def default_credentials() -> Credentials:
    """Return the application default credentials. Blocks; Misconfigured when there are none."""
    doing = "application default credentials"
    try:
        with translated(doing):
            found: Credentials = google.auth.default(scopes=_SCOPES)[0]
    except OSError as error:
        raise Misconfigured(f"{doing}: {error.filename}: {error.strerror}") from error
    return found


class Tokens:
    """Gives the headers that authorize a request, and refreshes the token behind them.

    One refresh at a time, whoever asks; some minutes ahead of expiry while requests go on with the old token. A
    refresh belongs to the target, not to who happens to wait for it, and changes nothing on the service.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self._credentials: Credentials | None = None
        self._headers: Mapping[str, str] | None = None
        self._refreshing: asyncio.Future[Mapping[str, str]] | None = None
        self._failed_ahead = False
        self._session = requests.Session()
        self._request = partial(Request(self._session), timeout=_REQUEST_TIMEOUT_S)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="target-gcs-token")

    async def headers(self, *, refused: Mapping[str, str] | None = None) -> Mapping[str, str]:
        """Return headers that authorize; others than ``refused``, which the service does not accept any more.

        PermissionDenied; Unavailable; Misconfigured.
        """
        if refused is not None and refused is self._headers:
            self._headers = None
        state = self._state()
        if state is TokenState.STALE and not self._failed_ahead:
            self._refresh()
        if state is TokenState.INVALID or self._headers is None:
            return await asyncio.shield(self._refresh())
        return self._headers

    async def aclose(self) -> None:
        await shut_down(self._executor)
        self._session.close()

    def _state(self) -> TokenState:
        if self._credentials is None or self._headers is None:
            return TokenState.INVALID
        state: TokenState = self._credentials.token_state
        return state

    def _refresh(self) -> asyncio.Future[Mapping[str, str]]:
        if self._refreshing is None:
            self._refreshing = asyncio.wrap_future(self._executor.submit(self._refreshed))
            self._refreshing.add_done_callback(self._take)
        return self._refreshing

    def _take(self, refreshing: asyncio.Future[Mapping[str, str]]) -> None:
        self._refreshing = None
        # Tried once ahead of expiry; when that failed, those who need a new token wait for one and see why.
        self._failed_ahead = refreshing.cancelled() or refreshing.exception() is not None
        if not self._failed_ahead:
            self._headers = refreshing.result()

    def _refreshed(self) -> Mapping[str, str]:
        """Load the credentials if need be, and get a new token; in the thread."""
        credentials = self._credentials or self._load()
        with translated("token"):
            credentials.refresh(self._request)  # type: ignore[no-untyped-call]  # google-auth has no annotations here
            headers: dict[str, str] = {}
            credentials.apply(headers)  # type: ignore[no-untyped-call]  # google-auth has no annotations here
        self._credentials = credentials
        return headers


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise what google-auth raises as the target's own errors, without what a token endpoint answered."""
    try:
        yield
    except GoogleAuthError as error:
        raise _translated(doing, error) from None


def _translated(doing: str, error: GoogleAuthError) -> TargetError:
    said: Any = error.args[0] if error.args else type(error).__name__
    text = " ".join(str(said).split())[:300]
    if isinstance(error, DefaultCredentialsError):
        return Misconfigured(f"{doing}: {text}; expected those, or the option credentials_file or anonymous")
    if isinstance(error, TransportError) or isinstance(said, TransportError) or error.retryable:
        return Unavailable(f"{doing}: {text}")
    if isinstance(error, RefreshError):
        return PermissionDenied(f"{doing}: refused: {text}")
    return PermissionDenied(f"{doing}: {text}")
