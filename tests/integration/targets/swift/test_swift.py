"""What only the Swift target can get wrong, against a real Swift that is full, hangs, dies or refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from targets.errors import (
    Misconfigured,
    ObjectExists,
    ObjectNotFound,
    QuotaExceeded,
    ShortRead,
    TargetGone,
    Throttled,
    Unavailable,
    Unsupported,
)
from targets.swift import SwiftTarget
from targets.testing import keys
from targets.wrappers.retry import Retry
from tests.support.fault_proxy import Answer
from tests.support.garbling import garbling
from tests.support.servers.process import in_thread
from tests.support.servers.swift import Swift
from tests.support.swift_account import account, watched
from tests.support.swift_targets import login_url, opened, v1
from tests.support.volumes import random_bytes

pytestmark = pytest.mark.timeout(240)  # The first test starts the servers.
MIB = 1024 * 1024


@pytest.fixture
def container(swift: Swift) -> str:
    return swift.container()


@pytest.fixture
async def target(swift: Swift, container: str, tmp_path: Path) -> AsyncIterator[SwiftTarget]:
    async with opened(v1(swift, tmp_path), container) as target:
        yield target


async def test_container_is_made_with_its_storage_policy(swift: Swift, container: str, tmp_path: Path) -> None:
    async with opened(v1(swift, tmp_path, storage_policy="silver"), container) as target, account(swift) as other:
        assert await keys(target) == []
        assert await other.header(container, "X-Storage-Policy") == "silver"


async def test_unknown_storage_policy_is_told(swift: Swift, container: str, tmp_path: Path) -> None:
    async with opened(v1(swift, tmp_path, storage_policy="bronze"), container) as target:
        with pytest.raises(Misconfigured, match=r"option storage_policy: bronze: .*400"):
            await target.put("key", b"content")


async def test_missing_container_is_gone_unless_it_may_be_made(swift: Swift, container: str, tmp_path: Path) -> None:
    async with opened(v1(swift, tmp_path, create_container=False), container) as target:
        with pytest.raises(TargetGone, match=f"container {container} does not exist"):
            await target.head("key")


async def test_container_that_vanishes_is_gone_and_no_object_is_missing(
    swift: Swift, container: str, target: SwiftTarget
) -> None:
    assert await keys(target) == []
    async with account(swift) as other:
        assert await other.status("DELETE", container) == 204
    for operation in (
        *(lambda: target.put("key", b"content"), lambda: target.get("key"), lambda: target.head("key")),
        *(lambda: target.delete("key"), lambda: target.delete_many(["key"]), lambda: keys(target)),
    ):
        with pytest.raises(TargetGone, match=container):
            await operation()


async def test_object_that_is_garbled_on_its_way_is_refused_and_not_stored(
    swift: Swift, container: str, target: SwiftTarget, tmp_path: Path
) -> None:
    assert await keys(target) == []
    async with (
        garbling(swift.port, sent=b"as it was", arrives=b"otherwise") as port,
        opened(v1(swift, tmp_path, auth_url=login_url(port)), container) as garbled,
    ):
        with pytest.raises(Unavailable, match="put key: 422"):
            await garbled.put("key", b"as it was")
    assert await keys(target) == []


async def test_object_that_is_garbled_on_its_way_back_is_not_taken(
    swift: Swift, container: str, target: SwiftTarget, tmp_path: Path
) -> None:
    await target.put("key", b"as it was" * 100_000)
    async with (
        garbling(swift.port, sent=b"as it was" * 3, arrives=b"otherwise" * 3) as port,
        opened(v1(swift, tmp_path, auth_url=login_url(port)), container) as garbled,
    ):
        with pytest.raises(Unavailable, match="does not have the MD5"):
            await garbled.get("key")


async def test_object_larger_than_the_cluster_takes_is_refused_unsent(
    swift: Swift, container: str, tmp_path: Path
) -> None:
    with swift.configured(object_size_bytes_max=MIB), watched(swift.port) as (proxy, requests):
        async with opened(v1(swift, tmp_path, auth_url=login_url(proxy.port)), container) as target:
            with pytest.raises(QuotaExceeded, match=f"the cluster takes {MIB}"):
                await target.put("key", bytes(MIB + 1))
            await target.put("key", bytes(MIB))
        assert requests.of("PUT", "/key") == 1


async def test_quota_of_the_container_is_told(swift: Swift, container: str, target: SwiftTarget) -> None:
    assert await keys(target) == []
    async with account(swift) as other:
        assert await other.status("POST", container, {"X-Container-Meta-Quota-Bytes": "10"}) == 204
    with pytest.raises(QuotaExceeded, match="put key: 413"):
        await target.put("key", b"more than ten bytes")


@pytest.mark.parametrize(
    ("status", "kind"), [(498, Throttled), (429, Throttled), (503, Unavailable), (507, QuotaExceeded)]
)
async def test_refusal_of_a_gateway_is_told(
    swift: Swift, container: str, tmp_path: Path, status: int, kind: type[Exception]
) -> None:
    with watched(swift.port) as (proxy, _):
        async with opened(v1(swift, tmp_path, auth_url=login_url(proxy.port)), container) as target:
            assert await keys(target) == []
            proxy.set_mode(Answer(status=status, body=b"<h1>Slow down</h1>"))
            with pytest.raises(kind, match=f"put key: {status} .*: Slow down"):
                await target.put("key", b"content")


async def test_object_server_that_died_is_unavailable_until_it_is_back(swift: Swift, target: SwiftTarget) -> None:
    await target.put("key", b"content")
    swift.servers["object"].kill()
    try:
        for operation in (
            *(lambda: target.put("other", b"content"), lambda: target.get("key"), lambda: target.head("key")),
            *(lambda: target.delete("key"), lambda: target.delete_many(["key", "other"])),
        ):
            with pytest.raises(Unavailable, match="503"):
                await operation()
        assert await keys(target) == ["key"]
    finally:
        await in_thread(lambda: swift.start("object"))
    assert await target.get("key") == b"content"
    await target.delete_many(["key", "other"])
    assert await keys(target) == []


async def test_object_server_that_hangs_is_unavailable(swift: Swift, container: str, tmp_path: Path) -> None:
    with swift.configured(node_timeout_s=1):
        async with opened(v1(swift, tmp_path), container) as target:
            await target.put("key", b"content")
            swift.servers["object"].pause()
            try:
                for operation in (lambda: target.put("other", b"content"), lambda: target.get("key")):
                    with pytest.raises(Unavailable, match="503"):
                        await operation()
            finally:
                swift.servers["object"].resume()
            assert await target.get("key") == b"content"


async def test_full_disks_look_like_a_store_that_is_unavailable(swift: Swift, container: str, tmp_path: Path) -> None:
    with swift.configured(object_reserve="100%"):
        async with opened(v1(swift, tmp_path), container) as target:
            with pytest.raises(Unavailable, match="put key: 503"):
                await target.put("key", b"content")
            assert await keys(target) == []


async def test_put_goes_on_when_the_proxy_died_and_is_back(
    swift: Swift, container: str, target: SwiftTarget, tmp_path: Path
) -> None:
    body = random_bytes(20 * MIB)
    with watched(swift.port) as (proxy, requests):
        async with opened(v1(swift, tmp_path, auth_url=login_url(proxy.port)), container) as through:
            retried = Retry(through, retries_max=50, timeout_s=60, delay_max_s=1)
            assert await keys(through) == []
            under_way = proxy.reached(lambda counts: counts.upstream_bytes > 5 * MIB)
            async with asyncio.TaskGroup() as group:
                group.create_task(retried.put("key", body))
                await asyncio.wrap_future(under_way)
                swift.servers["proxy"].kill()
                await in_thread(lambda: swift.start("proxy"))
        assert requests.of("PUT", "/key") > 1
    assert await target.get("key") == body


async def test_listing_asks_for_a_page_when_its_reader_comes_to_it(
    swift: Swift, container: str, tmp_path: Path
) -> None:
    with watched(swift.port) as (proxy, requests):
        async with opened(v1(swift, tmp_path, auth_url=login_url(proxy.port)), container) as target:
            async with asyncio.TaskGroup() as group:
                for number in range(120):
                    group.create_task(target.put(f"{number:03}", b""))
            async for _ in target.list(""):
                break
            assert requests.of("GET", "format=json") == 1
            requests.clear()
            assert len(await keys(target)) == 120
            assert requests.of("GET", "format=json") == 3  # 100, 20 and none.


async def test_one_connection_is_enough(swift: Swift, container: str, tmp_path: Path) -> None:
    async with opened(v1(swift, tmp_path, connections_max=1), container) as target:
        await target.put("key", b"content")
        with pytest.raises(ObjectNotFound):
            await target.get("absent")
        with pytest.raises(ShortRead):
            await target.get("key", offset=100)
        await target.delete_many(["key", "absent"])
        await target.delete("absent")
        assert await keys(target) == []


async def test_names_that_are_no_keys_are_not_listed(swift: Swift, container: str, target: SwiftTarget) -> None:
    await target.put("key", b"content")
    async with account(swift) as other:
        assert await other.status("PUT", f"{container}/Not%20ours") == 201
    assert await keys(target) == ["key"]


async def test_many_are_deleted_by_one_request(swift: Swift, container: str, tmp_path: Path) -> None:
    with watched(swift.port) as (proxy, requests):
        async with opened(v1(swift, tmp_path, auth_url=login_url(proxy.port)), container) as target:
            await target.put("key", b"content")
            await target.delete_many([f"absent-{number}" for number in range(40)] + ["key"])
            assert await keys(target) == []
        assert requests.of("POST", "bulk-delete") == 1
        assert requests.of("DELETE", container) == 0


async def test_many_of_which_some_are_not_deleted_are_told(swift: Swift, container: str, tmp_path: Path) -> None:
    said = b"""{"Response Status": "502 Bad Gateway", "Number Deleted": 1, "Number Not Found": 0,
               "Errors": [["/c/two", "503 Service Unavailable"]]}"""
    with watched(swift.port) as (proxy, _):
        async with opened(v1(swift, tmp_path, auth_url=login_url(proxy.port)), container) as target:
            await target.put("two", b"content")
            proxy.set_mode(Answer(status=200, body=said, matches=lambda method, _: method == "POST"))
            with pytest.raises(Unavailable, match="/c/two: 503, 1 failed"):
                await target.delete_many(["one", "two"])


async def test_many_are_deleted_one_by_one_where_the_cluster_has_no_request_for_it(
    swift: Swift, container: str, tmp_path: Path
) -> None:
    with swift.configured(bulk=False):
        async with opened(v1(swift, tmp_path), container) as target:
            for number in range(10):
                await target.put(f"{number}", b"content")
            await target.delete_many([f"{number}" for number in range(1, 10)])
            assert await keys(target) == ["0"]


async def test_second_writer_is_refused_where_the_store_is_trusted_to(
    swift: Swift, container: str, target: SwiftTarget, tmp_path: Path
) -> None:
    body = random_bytes(8 * MIB)
    async with opened(v1(swift, tmp_path, conditional_put=True), container) as other:
        await other.put("key", b"first", if_absent=True)
        with pytest.raises(ObjectExists):
            await other.put("key", body, if_absent=True)
    with pytest.raises(Unsupported, match="single_writer"):
        await target.put("other", b"content", if_absent=True)
    assert await target.get("key") == b"first"


async def test_swift_lets_two_writers_win_whose_uploads_overlap_so_no_more_is_promised(
    swift: Swift, container: str, target: SwiftTarget, tmp_path: Path
) -> None:
    may_begin, may_end = asyncio.Event(), asyncio.Event()

    async def slow_body() -> AsyncIterator[bytes]:
        may_begin.set()  # Swift has looked for the object, and asks for the body.
        await may_end.wait()
        yield b"slow"

    async def slow_writer() -> int:
        headers = {"If-None-Match": "*", "Expect": "100-continue"}
        async with other.session.put(f"{other.url}/{container}/key", data=slow_body(), headers=headers) as response:
            return response.status

    assert await keys(target) == []
    async with account(swift) as other, opened(v1(swift, tmp_path, conditional_put=True), container) as quick:
        async with asyncio.TaskGroup() as group:
            slow = group.create_task(slow_writer())
            await may_begin.wait()
            await quick.put("key", b"quick", if_absent=True)
            may_end.set()
        assert slow.result() == 201
    assert await target.get("key") == b"quick"  # The later request wins; the slow writer was told that it had.
