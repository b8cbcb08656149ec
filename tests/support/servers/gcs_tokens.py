"""The token endpoint of the service: keys of service accounts, signed requests for tokens, their expiry."""

from __future__ import annotations

import base64
import itertools
import json
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

ACCOUNT = "backup@project.iam.gserviceaccount.com"
SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class TokenEndpoint:
    """Gives a new token for each request that the account's key signed; ``given`` and ``refused`` count.

    ``expires_in_s``: what it says about the next ones. ``refuses``: with what it answers instead.
    """

    def __init__(self) -> None:
        self.url = ""
        self.expires_in_s = 3600
        self.refuses: tuple[int, dict[str, str]] | None = None
        self.given = 0
        self.refused = 0
        self._valid: set[str] = set()
        self._numbers = itertools.count(1)
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def write_key_file(self, path: Path) -> Path:
        """Write the key as the console hands it out."""
        pem = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        key = {"type": "service_account", "project_id": "project", "private_key_id": "1", "private_key": pem.decode()}
        path.write_text(json.dumps({**key, "client_email": ACCOUNT, "token_uri": self.url}))
        return path

    def expire_all(self) -> None:
        """Let every token that was given so far be refused, whatever was said about it."""
        self._valid.clear()

    def is_valid(self, authorization: str) -> bool:
        return authorization.removeprefix("Bearer ") in self._valid

    async def handle(self, request: web.Request) -> web.Response:
        form = await request.post()
        if self.refuses is not None:
            self.refused += 1
            status, answer = self.refuses
            return web.json_response(answer, status=status)
        try:
            assert form["grant_type"] == _GRANT
            self._check(str(form["assertion"]))
        except (AssertionError, KeyError, ValueError, InvalidSignature):
            told = {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
            return web.json_response(told, status=400)
        self.given += 1
        token = f"ya29.secret-{next(self._numbers)}"
        self._valid.add(token)
        return web.json_response({"access_token": token, "expires_in": self.expires_in_s, "token_type": "Bearer"})

    def _check(self, assertion: str) -> None:
        signed, _, signature = assertion.rpartition(".")
        self._key.public_key().verify(_decoded(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        claims: dict[str, Any] = json.loads(_decoded(signed.partition(".")[2]))
        assert claims["iss"] == ACCOUNT
        assert claims["scope"] == SCOPE
        assert claims["aud"] in (self.url, "https://oauth2.googleapis.com/token")


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
