"""The login of Keystone, version 3: a password or an application credential."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from yarl import URL

from targets.errors import Misconfigured, Unavailable
from targets.http.client import HttpClient
from targets.swift.answers import failure
from targets.swift.catalog import find_endpoint
from targets.swift.login import Login
from targets.swift.options import SwiftOptions
from targets.swift.secret_file import read_secret


class Keystone:
    """One identity. Reads the file of its secret: blocks for a moment."""

    def __init__(self, options: SwiftOptions) -> None:
        base = options.auth_url.rstrip("/")
        self._url = f"{base if base.endswith('/v3') else f'{base}/v3'}/auth/tokens"
        self._options = options
        self._body = json.dumps({"auth": _identity(options)}).encode()
        name = options.user or options.application_credential_id or options.application_credential_name
        self._doing = f"log in at {base} as {name}"

    async def __call__(self, http: HttpClient) -> Login:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        async with http.request("POST", URL(self._url, encoded=True), headers=headers, body=self._body) as response:
            if response.status in (300, 404, 405):
                raise Misconfigured(
                    f"option auth_url: {self._url}: {response.status}, no Keystone of version 3 is there"
                )
            if response.status != 201:
                raise await failure(self._doing, response)
            token = response.headers.get("X-Subject-Token")
            said = await response.read()
        try:
            body = json.loads(said)["token"]
            life_s = (_moment(body["expires_at"]) - _moment(body["issued_at"])).total_seconds()
            catalog = body.get("catalog", [])
        except (ValueError, KeyError, TypeError) as error:
            raise Unavailable(f"{self._doing}: the answer is not one of Keystone: {type(error).__name__}") from error
        if not token:
            raise Unavailable(f"{self._doing}: the answer has no token")
        return Login(token=token, life_s=life_s, storage_url=self._storage_url(catalog))

    def _storage_url(self, catalog: Any) -> str:
        options = self._options
        if options.storage_url is not None:
            return options.storage_url.rstrip("/")
        return find_endpoint(
            catalog, service_type=options.service_type, interface=options.interface, region=options.region
        )


def _identity(options: SwiftOptions) -> dict[str, Any]:
    user = {"name": options.user, "domain": {"name": options.user_domain}}
    if options.password_file is not None:
        project = {"name": options.project, "domain": {"name": options.project_domain}}
        user["password"] = read_secret("password_file", options.password_file)
        return {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": {"project": project}}
    assert options.application_credential_secret_file is not None
    secret = read_secret("application_credential_secret_file", options.application_credential_secret_file)
    credential: dict[str, Any] = {"secret": secret}
    if options.application_credential_id is not None:
        credential["id"] = options.application_credential_id
    else:
        credential |= {"name": options.application_credential_name, "user": user}
    return {"identity": {"methods": ["application_credential"], "application_credential": credential}}


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
