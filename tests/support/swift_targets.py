"""Swift targets for tests: their options, with the secrets in files as an operator has them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from targets.swift import Place, SwiftOptions, SwiftTarget
from tests.support.servers.keystone import Keystone
from tests.support.servers.rgw import Rgw
from tests.support.servers.swift import Swift


def secret_file(directory: Path, secret: str) -> str:
    """Return the path of a file that holds a secret."""
    path = directory / "secret"
    path.write_text(f"{secret}\n")
    path.chmod(0o600)
    return str(path)


def login_url(port: int) -> str:
    """Return where a Swift without a Keystone is logged in to through a proxy at ``port``."""
    return f"http://127.0.0.1:{port}/auth/v1.0"


def v1(swift: Swift, directory: Path, **options: Any) -> SwiftOptions:
    """Return how to log in to a Swift without a Keystone."""
    key_file = secret_file(directory, Swift.key)
    return SwiftOptions(
        **{"auth": "v1", "auth_url": swift.auth_url, "user": Swift.user, "key_file": key_file} | options
    )


def password(keystone: Keystone, directory: Path, *, role: str = "member", **options: Any) -> SwiftOptions:
    """Return how a new user with a project of its own logs in to Keystone."""
    user, secret, project = keystone.add_user(role=role)
    file = secret_file(directory, secret)
    given = {"auth_url": keystone.url, "user": user, "password_file": file, "project": project}
    return SwiftOptions(**given | options)


def on_rgw(rgw: Rgw, directory: Path) -> SwiftOptions:
    """Return how to log in to a gateway of Ceph."""
    key_file = secret_file(directory, rgw.swift_key)
    return SwiftOptions(auth="v1", auth_url=rgw.swift_auth_url, user=rgw.swift_user, key_file=key_file)


@asynccontextmanager
async def opened(
    options: SwiftOptions, container: str, *, monotonic: Callable[[], float] | None = None
) -> AsyncIterator[SwiftTarget]:
    """Yield a target and close it."""
    target = SwiftTarget(Place(container), options, monotonic=monotonic)
    try:
        yield target
    finally:
        await target.aclose()
