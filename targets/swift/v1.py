"""The first login of Swift (TempAuth, and radosgw's): two headers for two headers."""

from __future__ import annotations

from yarl import URL

from targets.errors import Misconfigured
from targets.http.client import HttpClient
from targets.swift.answers import failure
from targets.swift.login import Login
from targets.swift.options import SwiftOptions
from targets.swift.secret_file import read_secret


class V1:
    """A user and a key. Reads the key's file: blocks for a moment."""

    def __init__(self, options: SwiftOptions) -> None:
        assert options.user is not None
        assert options.key_file is not None
        self._url = options.auth_url
        self._storage_url = options.storage_url
        self._user = options.user
        self._key = read_secret("key_file", options.key_file)

    async def __call__(self, http: HttpClient) -> Login:
        doing = f"log in at {self._url} as {self._user}"
        headers = {"X-Auth-User": self._user, "X-Auth-Key": self._key}
        async with http.request("GET", URL(self._url, encoded=True), headers=headers) as response:
            if response.status == 404:
                raise Misconfigured(f"option auth_url: {self._url}: 404, no login is there")
            if response.status not in (200, 204):
                raise await failure(doing, response)
            token = response.headers.get("X-Auth-Token") or response.headers.get("X-Storage-Token")
            storage_url = self._storage_url or response.headers.get("X-Storage-Url")
            life = response.headers.get("X-Auth-Token-Expires", "")
        if not token or not storage_url:
            raise Misconfigured(f"option auth_url: {self._url}: the answer has no token and no storage url")
        life_s = float(life) if life.isdecimal() and int(life) > 0 else None  # 0: less than a second, rounded.
        return Login(token=token, life_s=life_s, storage_url=storage_url.rstrip("/"))
