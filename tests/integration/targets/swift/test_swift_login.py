"""Logging in to a real Swift and a real Keystone, and what is said when that fails."""

from __future__ import annotations

import asyncio
import logging
import traceback
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from targets.errors import Misconfigured, ObjectNotFound, PermissionDenied, TargetGone, Unavailable
from targets.open import open_target
from targets.swift import SwiftOptions
from targets.testing import keys
from tests.support.fault_proxy import Answer
from tests.support.servers.keystone import Keystone
from tests.support.servers.process import in_thread
from tests.support.servers.swift import Swift
from tests.support.swift_account import account, watched
from tests.support.swift_targets import login_url, opened, password, secret_file, v1

pytestmark = pytest.mark.timeout(240)  # The first test of each kind starts servers.


async def test_url_and_options_of_an_operator_open_a_target(swift: Swift, tmp_path: Path) -> None:
    key_file = secret_file(tmp_path, Swift.key)
    url = f"swift://{swift.container()}/site-1/volumes"
    given = {"auth": "v1", "auth_url": swift.auth_url, "user": Swift.user, "key_file": key_file}
    async with aclosing(open_target(url, **given)) as target:
        await target.put("packs/1", b"content")
        assert await keys(target) == ["packs/1"]


async def test_targets_below_two_prefixes_of_a_container_do_not_meet(swift: Swift, tmp_path: Path) -> None:
    given = {"auth": "v1", "auth_url": swift.auth_url, "user": Swift.user, "key_file": secret_file(tmp_path, Swift.key)}
    container = swift.container()
    async with (
        aclosing(open_target(f"swift://{container}/site", **given)) as one,
        aclosing(open_target(f"swift://{container}/site-1", **given)) as other,
    ):
        await one.put("key", b"one")
        await other.delete_many(["key"])
        assert await keys(other) == []
        assert await keys(one) == ["key"]


async def test_wrong_key_is_refused(swift: Swift, tmp_path: Path) -> None:
    options = v1(swift, tmp_path)
    secret_file(tmp_path, "wrong-key")
    async with opened(options, "any") as target:
        with pytest.raises(PermissionDenied, match="as test:backup: 401") as refused:
            await target.head("key")
    assert "wrong-key" not in str(refused.value)


async def test_user_without_rights_is_refused(swift: Swift, tmp_path: Path) -> None:
    options = v1(swift, tmp_path, user="test:guest")
    secret_file(tmp_path, "guest-key")
    async with opened(options, swift.container()) as target:
        with pytest.raises(PermissionDenied, match="403"):
            await target.put("key", b"content")


async def test_address_without_a_login_is_told(swift: Swift, tmp_path: Path) -> None:
    async with opened(v1(swift, tmp_path, auth_url=f"{swift.url}/healthcheck"), "any") as target:
        with pytest.raises(Misconfigured, match=r"option auth_url: .*no token"):
            await target.head("key")


async def test_one_login_for_many_who_are_refused_at_once(swift: Swift, tmp_path: Path) -> None:
    with watched(swift.port) as (proxy, requests):
        async with opened(v1(swift, tmp_path, auth_url=login_url(proxy.port)), swift.container()) as target:
            keys = [f"key-{number}" for number in range(20)]
            for key in keys:
                await target.put(key, b"content")
            requests.clear()
            refused: set[str] = set()

            def is_first_read(method: str, path: str) -> bool:
                requests(method, path)
                is_first = "/key-" in path and path not in refused
                refused.add(path)
                return is_first

            proxy.set_mode(Answer(status=401, matches=is_first_read))
            async with asyncio.TaskGroup() as group:
                reads = [group.create_task(target.get(key)) for key in keys]
            assert [read.result() for read in reads] == [b"content"] * 20
            assert proxy.counts.answered == 20
        assert requests.of("GET", "/auth/v1.0") == 1


async def test_one_failed_login_is_told_to_all_who_waited_for_it(swift: Swift, tmp_path: Path) -> None:
    with watched(swift.port) as (proxy, requests):
        options = v1(swift, tmp_path, auth_url=login_url(proxy.port))
        secret_file(tmp_path, "wrong-key")
        async with opened(options, "any") as target:

            async def read() -> None:
                with pytest.raises(PermissionDenied):
                    await target.get("key")

            async with asyncio.TaskGroup() as group:
                for _ in range(20):
                    group.create_task(read())
        assert requests == [("GET", "/auth/v1.0")]


async def test_token_that_is_refused_again_ends_the_request(swift: Swift, tmp_path: Path) -> None:
    with watched(swift.port) as (proxy, _):
        async with opened(v1(swift, tmp_path, auth_url=login_url(proxy.port)), swift.container()) as target:
            await target.put("key", b"content")
            proxy.set_mode(Answer(status=401, matches=lambda _, path: path.endswith("/key")))
            with pytest.raises(PermissionDenied, match="get key: 401"):
                await target.get("key")
            assert proxy.counts.answered == 2


async def test_token_is_renewed_before_it_ends(swift: Swift, tmp_path: Path) -> None:
    now_s = 0.0
    with watched(swift.port) as (proxy, requests):
        options = v1(swift, tmp_path, auth_url=login_url(proxy.port))
        async with opened(options, swift.container(), monotonic=lambda: now_s) as target:
            await target.put("key", b"content")
            now_s = 86400 - 70  # It is told in whole seconds.
            await target.get("key")
            assert requests.of("GET", "/auth/v1.0") == 1
            now_s = 86400 - 59
            await target.get("key")
            assert requests.of("GET", "/auth/v1.0") == 2


async def test_token_that_ended_unnoticed_is_replaced(swift: Swift, tmp_path: Path) -> None:
    container = swift.container()
    with swift.configured(token_life_s=3), watched(swift.port) as (proxy, requests):
        options = v1(swift, tmp_path, auth_url=login_url(proxy.port))
        async with opened(options, container, monotonic=lambda: 0.0) as target:  # It never sees time pass.
            await target.put("key", b"content")
            async with account(swift) as other:  # Its token is younger.
                while await other.status("HEAD", container) != 401:
                    pass
            logins = requests.of("GET", "/auth/v1.0")
            await target.delete_many(["key"])  # Refused in the body of an answer that is a 200.
            assert requests.of("POST", "bulk-delete") == 2
            assert requests.of("GET", "/auth/v1.0") == logins + 1
            with pytest.raises(ObjectNotFound):
                await target.get("key")


async def test_keystone_password_opens_a_target(swift_keystone: Swift, keystone: Keystone, tmp_path: Path) -> None:
    options = password(keystone, tmp_path, region="RegionOne", interface="internal")
    async with opened(options, swift_keystone.container()) as target:
        await target.put("key", b"content")
        assert await keys(target) == ["key"]


async def test_version_in_the_url_of_keystone_may_be_missing(
    swift_keystone: Swift, keystone: Keystone, tmp_path: Path
) -> None:
    options = password(keystone, tmp_path, auth_url=f"http://127.0.0.1:{keystone.port}/")
    async with opened(options, swift_keystone.container()) as target:
        assert await keys(target) == []


@pytest.mark.parametrize("by", ["id", "name"])
async def test_application_credential_opens_a_target(
    swift_keystone: Swift, keystone: Keystone, tmp_path: Path, by: str
) -> None:
    user, secret, project = keystone.add_user()
    credential = keystone.add_application_credential(user, secret, project)
    named = {"application_credential_name": credential["name"], "user": user}
    given = {"application_credential_id": credential["id"]} if by == "id" else named
    file = secret_file(tmp_path, credential["secret"])
    options = SwiftOptions(auth_url=keystone.url, application_credential_secret_file=file, **given)
    async with opened(options, swift_keystone.container()) as target:
        await target.put("key", b"content")
        assert await target.get("key") == b"content"


@pytest.mark.usefixtures("swift_keystone")
async def test_wrong_password_is_refused(keystone: Keystone, tmp_path: Path) -> None:
    options = password(keystone, tmp_path)
    secret_file(tmp_path, "wrong-password")
    async with opened(options, "any") as target:
        with pytest.raises(PermissionDenied, match=f"log in at {keystone.url} as {options.user}: 401") as refused:
            await target.head("key")
    assert "wrong-password" not in str(refused.value)


@pytest.mark.usefixtures("swift_keystone")
@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("region", "elsewhere", "object-store is in the catalog for RegionOne"),
        ("service_type", "tape", "which has identity, object-store"),
    ],
)
async def test_service_that_the_catalog_lacks_is_told_with_what_it_has(
    keystone: Keystone, tmp_path: Path, option: str, value: str, told: str
) -> None:
    async with opened(password(keystone, tmp_path, **{option: value}), "any") as target:
        with pytest.raises(Misconfigured, match=f"option {option}: {value}.*{told}"):
            await target.head("key")


async def test_reader_of_a_project_may_read_and_not_write(
    swift_keystone: Swift, keystone: Keystone, tmp_path: Path
) -> None:
    async with opened(password(keystone, tmp_path, role="reader"), swift_keystone.container()) as target:
        with pytest.raises(PermissionDenied, match="create container"):
            await target.put("key", b"content")


async def test_user_of_another_project_needs_no_more_than_the_lists_of_the_container(
    swift_keystone: Swift, keystone: Keystone, tmp_path: Path
) -> None:
    container = swift_keystone.container()
    guest = keystone.add_user(role="reader")
    async with opened(password(keystone, tmp_path), container) as owner:
        await owner.put("of-the-owner", b"content")
        assert owner._session._login is not None  # Where the account is.
        url = owner._session._login.storage_url
        allowed = ":".join(keystone.ids(*guest))
        lists = {"X-Container-Read": allowed, "X-Container-Write": allowed}
        async with owner._session.request("POST", f"/{container}", headers=lists) as response:
            assert response.status == 204
    given: dict[str, Any] = {"auth_url": keystone.url, "user": guest[0], "project": guest[2], "storage_url": url}
    options = SwiftOptions(**given, password_file=secret_file(tmp_path, guest[1]), create_container=False)
    async with opened(options, container) as target:
        await target.put("key", b"content")
        assert await target.get("key") == b"content"
        assert await keys(target) == ["key", "of-the-owner"]
        await target.delete_many(["key", "absent"])
        assert await keys(target) == ["of-the-owner"]
    async with opened(options, "another") as target:
        with pytest.raises(PermissionDenied):
            await target.put("key", b"content")


async def test_keystone_that_is_away_is_waited_for(swift_keystone: Swift, keystone: Keystone, tmp_path: Path) -> None:
    async with opened(password(keystone, tmp_path), swift_keystone.container()) as target:
        keystone.server.kill()
        try:
            with pytest.raises(Unavailable, match=f"127.0.0.1:{keystone.port}"):
                await target.put("key", b"content")
        finally:
            await in_thread(keystone.server.start)
        await target.put("key", b"content")


@pytest.mark.usefixtures("swift_keystone")
async def test_no_secret_is_told(keystone: Keystone, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    options = password(keystone, tmp_path, create_container=False)
    secret = Path(options.password_file or "").read_text().strip()
    async with opened(options, "missing") as target:
        with pytest.raises(TargetGone) as failed:
            await target.put("key", b"content")
        assert target._session._login is not None  # Where the token is.
        token = target._session._login.token
        told = [
            *(repr(options), repr(target), repr(target._session._login), repr(failed.value)),
            *("".join(traceback.format_exception(failed.value)), caplog.text),
        ]
    assert token
    for text in told:
        assert secret not in text
        assert token not in text


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_nothing_is_left_when_it_is_closed(swift: Swift, tmp_path: Path) -> None:
    async def use() -> None:
        async with opened(v1(swift, tmp_path), container) as target, asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(target.put(f"key-{number}", b"content" * 20_000))

    container = swift.container()
    await use()  # What the loop opens once for itself is open by now.
    before = descriptors()
    await use()
    assert descriptors() == before
    assert len(asyncio.all_tasks()) == 1
