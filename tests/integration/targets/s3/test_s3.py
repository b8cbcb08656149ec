"""What only the S3 target can get wrong, against a real store that refuses, loses connections, hangs or dies."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from targets.base import Target
from targets.errors import (
    ObjectExists,
    ObjectNotFound,
    PermissionDenied,
    QuotaExceeded,
    Retryable,
    TargetGone,
    Throttled,
    TimedOut,
    Unavailable,
)
from targets.testing import keys
from targets.wrappers.retry import Retry
from tests.support.buckets import LARGE, MIB, PARTS, Bucket, make_bucket, write_keys
from tests.support.fault_proxy import Answer, FaultProxy, Hang, Pass, ResetAfter
from tests.support.servers.process import in_thread
from tests.support.servers.rgw import Rgw
from tests.support.servers.seaweedfs import ADMIN, READ_ONLY, SeaweedFs

Operation = Callable[[Target], Awaitable[object]]
OPERATIONS: dict[str, Operation] = {
    "put": lambda target: target.put("key", b"content"),
    "put large": lambda target: target.put("key", LARGE),
    "put if absent": lambda target: target.put("free", b"content", if_absent=True),
    "get": lambda target: target.get("key"),
    "get into": lambda target: target.get_into("key", bytearray(1)),
    "head": lambda target: target.head("key"),
    "list": keys,
    "delete": lambda target: target.delete("key"),
    "delete many": lambda target: target.delete_many(["key", "other"]),
}
READING = ("get", "get into", "head", "list")


@pytest.fixture
def proxy(seaweedfs: SeaweedFs) -> Iterator[FaultProxy]:
    with FaultProxy("127.0.0.1", port_of(seaweedfs.url), speaks_http=True) as proxy:
        yield proxy


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def through(proxy: FaultProxy, bucket: Bucket) -> Bucket:
    return replace(bucket, url=f"http://127.0.0.1:{proxy.port}")


def refusal(code: str) -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>said so</Message></Error>".encode()


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_wrong_secret_is_told_and_not_shown(bucket: Bucket, tmp_path: Path, operation: str) -> None:
    bucket.client.put_object(Bucket=bucket.name, Key="key", Body=b"content")
    write_keys(tmp_path, (ADMIN[0], "never-to-be-shown"))
    async with bucket.opened() as target:
        with pytest.raises(PermissionDenied, match=r"403.*\[") as caught:
            await OPERATIONS[operation](target)
    assert "never-to-be-shown" not in f"{caught.value} {caught.value!r} {caught.value.__cause__!r}"


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_missing_bucket_is_never_a_missing_object(bucket: Bucket, operation: str) -> None:
    async with bucket.opened(name="no-such-bucket") as target:
        with pytest.raises(TargetGone, match="NoSuchBucket"):
            await OPERATIONS[operation](target)


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_keys_that_may_only_read_do_so(bucket: Bucket, tmp_path: Path, operation: str) -> None:
    bucket.client.put_object(Bucket=bucket.name, Key="key", Body=b"content")
    write_keys(tmp_path, READ_ONLY)
    async with bucket.opened() as target:
        if operation in READING:
            await OPERATIONS[operation](target)
        else:
            with pytest.raises(PermissionDenied, match="AccessDenied"):
                await OPERATIONS[operation](target)
    assert bucket.keys() == ["key"]


async def test_keys_that_were_written_anew_are_taken_without_a_restart(bucket: Bucket, tmp_path: Path) -> None:
    write_keys(tmp_path, (ADMIN[0], "the secret of yesterday"))
    async with bucket.opened() as target:
        with pytest.raises(PermissionDenied):
            await target.put("key", b"content")
        write_keys(tmp_path, ADMIN)
        await target.put("key", b"content")
        write_keys(tmp_path, ("withdrawn", "secret"))
        assert await target.get("key") == b"content"  # Those in use are good as long as the store takes them.


@pytest.mark.parametrize("header", ["x-amz-checksum-crc32c", "content-md5"])
async def test_content_that_was_garbled_on_its_way_is_refused(bucket: Bucket, header: str) -> None:
    wrong = {"x-amz-checksum-crc32c": "AAAAAA==", "content-md5": "AAAAAAAAAAAAAAAAAAAAAA=="}
    async with bucket.opened() as target:
        wire = target._wire
        with pytest.raises(Retryable):
            async with wire.ask(
                "put key",
                "PUT",
                wire.urls.object("key"),
                headers={header: wrong[header]},
                body=memoryview(b"content"),
            ):
                pass
        assert await keys(target) == []


@pytest.mark.parametrize("checksum", ["crc32c", "md5", "none"])
async def test_large_object_goes_in_parts(bucket: Bucket, proxy: FaultProxy, checksum: str) -> None:
    async with through(proxy, bucket).opened(checksum=checksum, **PARTS) as target:
        await target.put("key", bytearray(LARGE))
        assert proxy.counts.requests == 1 + 3 + 1
        assert await target.get("key") == LARGE
    assert bucket.unfinished_uploads() == []


async def test_upload_that_fails_leaves_no_parts_behind(bucket: Bucket, proxy: FaultProxy) -> None:
    async with through(proxy, bucket).opened(**PARTS) as target:
        proxy.set_mode(ResetAfter(upstream_bytes=3 * MIB, connections=1))
        with pytest.raises(Unavailable, match="reset"):
            await target.put("key", LARGE)
        assert bucket.unfinished_uploads() == []
        assert await keys(target) == []


async def test_upload_that_is_cancelled_leaves_no_parts_behind(bucket: Bucket, proxy: FaultProxy) -> None:
    body = bytearray(LARGE)
    async with through(proxy, bucket).opened(**PARTS) as target:
        sent = proxy.reached(lambda counts: counts.upstream_bytes > 2 * MIB)
        async with asyncio.TaskGroup() as group:
            putting = group.create_task(target.put("key", body))
            await asyncio.wrap_future(sent)
            putting.cancel()
        body.clear()  # BufferError if anything still refers to it.
        assert bucket.unfinished_uploads() == []
        assert await keys(target) == []


async def test_answer_of_200_that_holds_an_error_is_an_error(bucket: Bucket, proxy: FaultProxy) -> None:
    async with through(proxy, bucket).opened(**PARTS) as target:
        proxy.set_mode(
            Answer(
                status=200,
                body=b"\n\n" + refusal("InternalError"),
                matches=lambda method, path: method == "POST" and "uploads=" not in path,
            )
        )
        with pytest.raises(Unavailable, match="InternalError"):
            await target.put("key", LARGE)
        proxy.set_mode(Pass())
        assert await keys(target) == []
    assert bucket.unfinished_uploads() == []


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (503, "SlowDown", Throttled),
        (500, "InternalError", Unavailable),
        (502, "", Unavailable),
        (409, "ConditionalRequestConflict", Retryable),
        (403, "QuotaExceeded", QuotaExceeded),
        (507, "", QuotaExceeded),
    ],
)
async def test_refusal_is_told_as_what_it_is(
    bucket: Bucket, proxy: FaultProxy, status: int, code: str, error: type[Exception]
) -> None:
    proxy.set_mode(Answer(status=status, body=refusal(code) if code else b"<html>gateway</html>"))
    async with through(proxy, bucket).opened() as target:
        with pytest.raises(error, match=f"{code or 'error'} .{status}"):
            await target.put("key", b"content", if_absent=True)


async def test_conditional_put_is_not_sent_again_unasked(bucket: Bucket, proxy: FaultProxy) -> None:
    async with through(proxy, bucket).opened() as target:
        await keys(target)
        proxy.set_mode(ResetAfter(downstream_bytes=1))  # It is carried out, and nobody hears of it.
        with pytest.raises(Unavailable):
            await target.put("key", b"", if_absent=True)
        assert proxy.counts.requests == 2
        proxy.set_mode(Pass())
        assert await target.get("key") == b""


async def test_lost_answers_are_made_up_for_by_the_retries(bucket: Bucket, proxy: FaultProxy) -> None:
    async with through(proxy, bucket).opened() as target:
        proxy.set_mode(ResetAfter(downstream_bytes=1, connections=2))
        retrying = Retry(target, retries_max=3, timeout_s=10, delay_s=0.01)
        await retrying.put("key", b"content", if_absent=True)
        assert await retrying.get("key") == b"content"


async def test_store_that_dies_amid_a_put_and_comes_back_has_it_whole(own_seaweedfs: SeaweedFs, tmp_path: Path) -> None:
    bucket = make_bucket(own_seaweedfs.url, ADMIN, tmp_path)
    with FaultProxy("127.0.0.1", port_of(own_seaweedfs.url), speaks_http=True) as proxy:
        async with through(proxy, bucket).opened() as target:
            retrying = Retry(target, retries_max=100, timeout_s=20, delay_s=0.05, delay_max_s=0.5)
            await retrying.put("before", LARGE)
            sent = proxy.counts.upstream_bytes
            under_way = proxy.reached(lambda counts: counts.upstream_bytes > sent + 2 * MIB)
            async with asyncio.TaskGroup() as group:
                group.create_task(retrying.put("key", LARGE, if_absent=True))
                await asyncio.wrap_future(under_way)
                own_seaweedfs.server.kill()
                await in_thread(own_seaweedfs.server.start)
            assert await retrying.get("key") == LARGE
            assert await retrying.get("before") == LARGE


async def test_store_that_hangs_is_given_up_in_time(bucket: Bucket, proxy: FaultProxy) -> None:
    async with through(proxy, bucket).opened() as target:
        await target.put("key", b"content")
        proxy.set_mode(Hang())
        hasty = Retry(target, retries_max=1, timeout_s=0.3, delay_s=0.001)
        for operation in ("put", "get", "list", "delete many"):
            with pytest.raises(TimedOut):
                await OPERATIONS[operation](hasty)
        proxy.cut()  # Or what was given up would be carried out after all.
        proxy.set_mode(Pass())
        assert await target.get("key") == b"content"


async def test_nothing_is_left_when_it_is_closed(bucket: Bucket) -> None:
    before = descriptors(), threading.active_count(), len(asyncio.all_tasks())
    async with bucket.opened(**PARTS) as target:
        for operation in OPERATIONS.values():
            await operation(target)
            with pytest.raises(ObjectNotFound):
                await target.get("absent")
            await target.put("key", b"content")
        async for _ in target.list(""):
            break
    assert (descriptors(), threading.active_count(), len(asyncio.all_tasks())) == before


def descriptors() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


async def test_one_of_two_drivers_takes_a_key(bucket: Bucket) -> None:
    async with bucket.opened() as one, bucket.opened() as other:
        winners: list[int] = []

        async def write(number: int) -> None:
            try:
                await (one, other)[number % 2].put("key", b"%d" % number, if_absent=True)
            except (ObjectExists, Retryable):
                return
            winners.append(number)

        async with asyncio.TaskGroup() as group:
            for number in range(16):
                group.create_task(write(number))
        assert len(winners) == 1
        assert await one.get("key") == b"%d" % winners[0]


async def test_rgw_refuses_a_wrong_secret_and_a_missing_bucket(rgw: Rgw, tmp_path: Path) -> None:
    bucket = make_bucket(rgw.url, (rgw.access_key, rgw.secret_key), tmp_path)
    async with bucket.opened(name="no-such-bucket", checksum="md5") as target:
        for operation in OPERATIONS.values():
            with pytest.raises(TargetGone):
                await operation(target)
    write_keys(tmp_path, (rgw.access_key, "wrong"))
    async with bucket.opened(checksum="md5") as target:
        for operation in OPERATIONS.values():
            with pytest.raises(PermissionDenied):
                await operation(target)
