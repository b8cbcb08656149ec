"""Where in a Swift the objects are, and what an operator may choose."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from targets.errors import Misconfigured
from targets.http.client import CONNECTIONS_MAX
from targets.keys import is_key

INTERFACES = ("public", "internal", "admin")
_CONTAINER_BYTES_MAX = 256

_PASSWORD = ("user", "password_file", "project")
_PASSWORD_LACKS = ("application_credential_secret_file", "key_file")
_CREDENTIAL_NAME = ("application_credential_name", "user", "application_credential_secret_file")
_CREDENTIAL_NAME_LACKS = ("password_file", "project", "key_file")
_CREDENTIAL_ID = ("application_credential_id", "application_credential_secret_file")
_CREDENTIAL_ID_LACKS = ("application_credential_name", "user", *_CREDENTIAL_NAME_LACKS)
_V1 = ("user", "key_file")
_V1_LACKS = ("password_file", "project", "region", "application_credential_id", "application_credential_name")


@dataclass(frozen=True, slots=True)
class Place:
    """A container and what the names of its objects begin with: nothing, or a key and a slash."""

    container: str
    prefix: str = ""

    @classmethod
    def of(cls, url: SplitResult) -> Place:
        """Return where ``swift://container/prefix`` is. Misconfigured if that is no such url."""
        container, prefix = unquote(url.netloc), url.path.strip("/")
        if not container or "/" in container or len(container.encode()) > _CONTAINER_BYTES_MAX:
            raise Misconfigured(
                f"target url {url.geturl()}: expected swift:// and the name of a container, "
                f"up to {_CONTAINER_BYTES_MAX} bytes without a slash"
            )
        if prefix and not is_key(prefix):
            raise Misconfigured(
                f"target url {url.geturl()}: expected behind the container names of a-z 0-9 . _ - between slashes"
            )
        return cls(container, f"{prefix}/" if prefix else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class SwiftOptions:
    """``auth``: "keystone" (version 3) or "v1". Secrets stand in files that only their owner can read.

    ``user`` has a ``password_file`` and a ``project`` in Keystone, a ``key_file`` in v1; an application
    credential has its id, or its name and user. ``storage_url``: instead of the one that the login tells.
    ``conditional_put``: trust the store to refuse an object that is there (docs/targets/swift.md: Swift does not).
    """

    auth_url: str
    auth: str = "keystone"
    user: str | None = None
    user_domain: str = "Default"
    password_file: str | None = None
    key_file: str | None = None
    project: str | None = None
    project_domain: str = "Default"
    application_credential_id: str | None = None
    application_credential_name: str | None = None
    application_credential_secret_file: str | None = None
    region: str | None = None
    interface: str = "public"
    service_type: str = "object-store"
    storage_url: str | None = None
    storage_policy: str | None = None
    ca_file: str | None = None
    connections_max: int = CONNECTIONS_MAX
    conditional_put: bool = False
    create_container: bool = True

    def __post_init__(self) -> None:
        _check_url("auth_url", self.auth_url)
        if self.storage_url is not None:
            _check_url("storage_url", self.storage_url)
        if not 1 <= self.connections_max <= CONNECTIONS_MAX:
            raise Misconfigured(f"option connections_max: {self.connections_max}, expected 1 to {CONNECTIONS_MAX}")
        if self.interface not in INTERFACES:
            raise Misconfigured(f"option interface: {self.interface!r}, expected one of {', '.join(INTERFACES)}")
        if self.auth == "keystone":
            self._check_keystone()
        elif self.auth == "v1":
            self._check(needed=_V1, excluded=_V1_LACKS, of="v1")
        else:
            raise Misconfigured(f"option auth: {self.auth!r}, expected keystone or v1")

    def _check_keystone(self) -> None:
        if self.application_credential_id is not None:
            self._check(needed=_CREDENTIAL_ID, excluded=_CREDENTIAL_ID_LACKS, of="an application credential")
        elif self.application_credential_name is not None:
            self._check(needed=_CREDENTIAL_NAME, excluded=_CREDENTIAL_NAME_LACKS, of="an application credential")
        else:
            self._check(needed=_PASSWORD, excluded=_PASSWORD_LACKS, of="a Keystone password")

    def _check(self, *, needed: tuple[str, ...], excluded: tuple[str, ...], of: str) -> None:
        for name in needed:
            if not getattr(self, name):
                raise Misconfigured(f"option {name}: missing for {of}, expected a text")
        for name in excluded:
            if getattr(self, name) is not None:
                raise Misconfigured(f"option {name}: has no meaning for {of}, expected one of: {', '.join(needed)}")


def _check_url(name: str, url: str) -> None:
    """Refuse what is no plain http(s) url. The value is not repeated: it may hold a password."""
    try:
        parts = urlsplit(url)
        is_plain = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        is_plain = False
    if not is_plain or "@" in parts.netloc or parts.query or parts.fragment:
        raise Misconfigured(f"option {name}: expected http:// or https://, a host and a path, and no password in it")
