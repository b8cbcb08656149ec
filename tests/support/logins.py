"""Logins at real stores that end while a daemon uses them: tokens that are revoked, keys that are withdrawn."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from backupd.clock import SystemClock
from tests.support.buckets import make_bucket, write_keys
from tests.support.fault_proxy import FaultProxy, Hang, Pass
from tests.support.servers.gcs_service import gcs_service
from tests.support.servers.keystone import Keystone
from tests.support.servers.process import in_thread
from tests.support.servers.rgw import Rgw
from tests.support.servers.swift import Swift
from tests.support.stores import target_section
from tests.support.swift_targets import secret_file

_numbers = itertools.count(1)
_Do = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """``section`` is the part of a configuration with a target of that ``name`` that logs in so.

    It asks one thing at a time, so that most of a job is still to be asked for in its middle.

    ``expire``: what the daemon was given is refused from now on, and it can get something newer in the same way.
    ``withdraw``: likewise, and it gets nothing newer. ``give_back`` undoes that.
    """

    name: str
    section: str
    expire: _Do
    withdraw: _Do
    give_back: _Do


def logged_in(kind: str, request: pytest.FixtureRequest, directory: Path) -> AbstractAsyncContextManager[Login]:
    """Return a login of its own for one test."""
    return LOGINS[kind](request, directory)


@asynccontextmanager
async def _gcs(_: pytest.FixtureRequest, directory: Path) -> AsyncIterator[Login]:
    async with gcs_service() as service:
        key_file = service.tokens.write_key_file(directory / "key.json")
        options = {"endpoint": service.endpoint, "credentials_file": str(key_file)}

        async def expire() -> None:
            service.tokens.expire_all()

        async def withdraw() -> None:
            service.tokens.refuses = (400, {"error": "invalid_grant", "error_description": "account not found"})
            service.tokens.expire_all()

        async def give_back() -> None:
            service.tokens.refuses = None

        yield Login(
            name="gcs",
            section=target_section("gcs", "gs://bucket/backups", options, operations_max=1),
            expire=expire,
            withdraw=withdraw,
            give_back=give_back,
        )


@asynccontextmanager
async def _keystone(request: pytest.FixtureRequest, directory: Path) -> AsyncIterator[Login]:
    swift: Swift = request.getfixturevalue("swift_keystone")
    keystone: Keystone = request.getfixturevalue("keystone")
    user = keystone.add_user()
    with swift.configured(token_cache_s=-1), FaultProxy("127.0.0.1", swift.port, speaks_http=True) as proxy:
        options = {
            "auth_url": keystone.url,
            "user": user[0],
            "password_file": secret_file(directory, user[1]),
            "project": user[2],
            "storage_url": f"http://127.0.0.1:{proxy.port}/v1/AUTH_{keystone.ids(*user)[0]}",
        }

        async def unseen(change: Callable[[], None]) -> None:
            # Keystone compares whole seconds: who logs in within this one would be refused, too.
            proxy.set_mode(Hang())
            await in_thread(change)
            await SystemClock().sleep(1)
            proxy.set_mode(Pass())

        async def expire() -> None:
            await unseen(lambda: keystone.revoke_tokens(user[0]))

        async def withdraw() -> None:
            await unseen(lambda: keystone.enable(user[0], is_enabled=False))

        async def give_back() -> None:
            await in_thread(lambda: keystone.enable(user[0]))

        section = target_section(
            "swift", f"swift://{swift.container()}/backups", options, single_writer=True, operations_max=1
        )
        yield Login(name="swift", section=section, expire=expire, withdraw=withdraw, give_back=give_back)


@asynccontextmanager
async def _s3(request: pytest.FixtureRequest, directory: Path) -> AsyncIterator[Login]:
    rgw: Rgw = request.getfixturevalue("rgw")
    user = f"user-{next(_numbers)}"
    keys = [_add_keys(rgw, "user", user)]
    bucket = make_bucket(rgw.url, keys[0], directory)
    options = {"endpoint": rgw.url, "credentials_file": str(bucket.credentials_file), "checksum": "md5"}

    def remove() -> None:
        rgw.administer("key", "rm", "--uid", user, "--access-key", keys[-1][0])

    def give() -> None:
        keys.append(_add_keys(rgw, "key", user))
        write_keys(directory, keys[-1])

    def replace() -> None:
        old = keys[-1]
        give()
        rgw.administer("key", "rm", "--uid", user, "--access-key", old[0])

    async def expire() -> None:
        await in_thread(replace)

    async def withdraw() -> None:
        await in_thread(remove)

    async def give_back() -> None:
        await in_thread(give)

    yield Login(
        name="s3",
        section=target_section("s3", f"s3://{bucket.name}/backups", options, operations_max=1),
        expire=expire,
        withdraw=withdraw,
        give_back=give_back,
    )


def _add_keys(rgw: Rgw, kind: str, user: str) -> tuple[str, str]:
    """Make a user, or a key of one, and return the key."""
    keys = (f"access-{next(_numbers)}", f"secret-of-{user}")
    named = ("--display-name", user) if kind == "user" else ()
    rgw.administer(kind, "create", "--uid", user, *named, "--access-key", keys[0], "--secret", keys[1])
    return keys


LOGINS: Mapping[str, Callable[[pytest.FixtureRequest, Path], AbstractAsyncContextManager[Login]]] = {
    "gcs": _gcs,
    "keystone": _keystone,
    "s3": _s3,
}
