"""What is made of answers that a store gives seldom, by a store that gives them at once."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from targets.errors import Final, Misconfigured, ObjectNotFound, PermissionDenied, TargetGone, Unavailable
from targets.s3 import Place, S3Options, S3Target
from targets.s3.clock import RequestClock
from targets.testing import keys
from tests.support.buckets import write_keys

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


def refusal(status: int, code: str, **headers: str) -> web.Response:
    text = f"<Error><Code>{code}</Code><Message>m</Message></Error>"
    return web.Response(status=status, text=text, headers={n.replace("_", "-"): v for n, v in headers.items()})


@dataclass
class Store:
    """Answers as ``handler`` says; ``asked`` is what came."""

    handler: Callable[[web.Request], web.Response]
    directory: Path
    asked: list[web.Request] = field(default_factory=list)

    @asynccontextmanager
    async def target(self, **options: Any) -> AsyncIterator[S3Target]:
        async def answer(request: web.Request) -> web.Response:
            await request.read()
            self.asked.append(request)
            return self.handler(request)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        async with TestServer(app) as server:
            file = self.directory / "credentials"
            if not file.exists():
                write_keys(self.directory, ("access", "secret"), "old-token")
            reached = {"endpoint": str(server.make_url("")), "credentials_file": str(file), "region": "eu-west-1"}
            target = S3Target(
                Place.of("bucket", "/prefix"), S3Options(**(reached | options)), clock=RequestClock(NOW.timestamp)
            )
            try:
                yield target
            finally:
                await target.aclose()


async def test_token_that_ran_out_is_read_anew_once(tmp_path: Path) -> None:
    def handler(request: web.Request) -> web.Response:
        if request.headers["x-amz-security-token"] == "new-token":
            return web.Response()
        write_keys(tmp_path, ("access", "secret"), "new-token")  # Somebody renews it meanwhile.
        return refusal(400, "ExpiredToken")

    store = Store(handler, tmp_path)
    async with store.target() as target:
        await target.put("key", b"content")
        await target.put("key", b"content")
    assert len(store.asked) == 3


@pytest.mark.parametrize("body", [b"content", bytes(200_000)])
async def test_token_that_ran_out_for_good_is_told(tmp_path: Path, body: bytes) -> None:
    store = Store(lambda _: refusal(400, "ExpiredToken"), tmp_path)
    async with store.target() as target:
        with pytest.raises(PermissionDenied, match="ExpiredToken") as caught:
            await target.put("key", body)
        assert "old-token" not in f"{caught.value!r}"
    assert len(store.asked) == 1


async def test_clock_that_is_wrong_is_corrected_once(tmp_path: Path) -> None:
    theirs = NOW + timedelta(hours=5)

    def handler(request: web.Request) -> web.Response:
        if request.headers["x-amz-date"] == theirs.strftime("%Y%m%dT%H%M%SZ"):
            return web.Response(headers={"Content-Length": "0"})
        return refusal(403, "RequestTimeTooSkewed", Date=format_datetime(theirs, usegmt=True))

    store = Store(handler, tmp_path)
    async with store.target() as target:
        await target.put("key", b"content")
        await target.head("key")
    assert len(store.asked) == 3


async def test_clock_that_cannot_be_corrected_is_told(tmp_path: Path) -> None:
    theirs = format_datetime(NOW + timedelta(hours=5), usegmt=True)
    store = Store(lambda _: refusal(403, "RequestTimeTooSkewed", Date=theirs), tmp_path)
    async with store.target() as target:
        with pytest.raises(PermissionDenied, match="clock is wrong"):
            await target.put("key", b"content")
    assert len(store.asked) == 2


@pytest.mark.parametrize(
    ("status", "code"), [(301, "PermanentRedirect"), (400, "AuthorizationHeaderMalformed"), (400, "")]
)
@pytest.mark.parametrize("method", ["put", "head"])
async def test_bucket_elsewhere_names_its_region(tmp_path: Path, method: str, status: int, code: str) -> None:
    store = Store(lambda _: refusal(status, code, x_amz_bucket_region="ap-south-2", Location="/other"), tmp_path)
    async with store.target() as target:
        with pytest.raises(Misconfigured, match=r"in region ap-south-2: set option region"):
            await (target.put("key", b"content") if method == "put" else target.head("key"))


async def test_head_finds_out_whether_the_object_or_the_bucket_is_gone(tmp_path: Path) -> None:
    is_bucket_there = True

    def handler(request: web.Request) -> web.Response:
        is_there = request.path == "/bucket" and is_bucket_there
        return web.Response(status=200 if is_there else 404)

    async with Store(handler, tmp_path).target() as target:
        with pytest.raises(ObjectNotFound):
            await target.head("key")
        is_bucket_there = False
        with pytest.raises(TargetGone):
            await target.head("key")


async def test_page_is_asked_for_when_the_reader_comes_to_it(tmp_path: Path) -> None:
    def handler(request: web.Request) -> web.Response:
        page = int(request.query.get("continuation-token", "0"))
        more = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{page + 1}</NextContinuationToken>"
        return web.Response(
            text=f"<ListBucketResult>{more if page < 2 else ''}"
            f"<Contents><Key>prefix/a{page}</Key><Size>1</Size></Contents>"
            f"<Contents><Key>prefix/b{page}</Key><Size>1</Size></Contents></ListBucketResult>"
        )

    store = Store(handler, tmp_path)
    async with store.target() as target:
        listing = target.list("")
        found = [(await anext(listing)).key for _ in range(2)]
        assert (found, len(store.asked)) == (["a0", "b0"], 1)
        found += [info.key async for info in listing]
        assert (found, len(store.asked)) == (["a0", "b0", "a1", "b1", "a2", "b2"], 3)
    assert {request.query["prefix"] for request in store.asked} == {"prefix/"}


async def test_many_are_deleted_a_thousand_at_a_time(tmp_path: Path) -> None:
    store = Store(lambda _: web.Response(text="<DeleteResult/>"), tmp_path)
    async with store.target() as target:
        await target.delete_many([f"{number}" for number in range(2500)])
    assert [request.method for request in store.asked] == ["POST"] * 3


async def test_store_without_batches_is_asked_once_for_them(tmp_path: Path) -> None:
    store = Store(
        lambda request: refusal(501, "NotImplemented") if request.query else web.Response(status=204), tmp_path
    )
    async with store.target() as target:
        await target.delete_many(["a", "b"])
        await target.delete_many(["c"])
    assert [request.method for request in store.asked] == ["POST", "DELETE", "DELETE", "DELETE"]


async def test_keys_that_are_left_are_named_and_what_is_final_decides(tmp_path: Path) -> None:
    errors = "".join(
        f"<Error><Key>prefix/{key}</Key><Code>{code}</Code></Error>"
        for key, code in (("a", "InternalError"), ("b", "AccessDenied"), ("c", "SlowDown"), ("d", "SlowDown"))
    )
    async with Store(
        lambda _: web.Response(text=f"<DeleteResult>{errors}</DeleteResult>"), tmp_path
    ).target() as target:
        with pytest.raises(PermissionDenied, match="4 are left: a: InternalError, b: AccessDenied, c: SlowDown"):
            await target.delete_many(["a", "b", "c", "d"])


async def test_what_is_no_store_is_never_an_empty_listing(tmp_path: Path) -> None:
    async with Store(lambda _: web.Response(text="<html>hello</html>"), tmp_path).target() as target:
        with pytest.raises(Unavailable, match="is there an S3 store"):
            await keys(target)


async def test_missing_object_by_a_code_that_nobody_knows_is_not_taken_for_absent(tmp_path: Path) -> None:
    async with Store(lambda _: refusal(404, "Teapot"), tmp_path).target() as target:
        with pytest.raises(Final, match="Teapot") as caught:
            await target.get("key")
    assert type(caught.value) is Final


LOCKS = {"object_lock_mode": "COMPLIANCE", "object_lock_retain_days": 2}


async def test_a_lock_is_extended_by_the_date_alone(tmp_path: Path) -> None:
    bodies: list[bytes] = []

    def take(request: web.Request) -> web.Response:
        bodies.append(request._read_bytes or b"")
        return refusal(404, "NoSuchKey") if "absent" in request.path else web.Response()

    store = Store(take, tmp_path)
    async with store.target(**LOCKS) as target:
        assert target.lock_s == 2 * 86_400
        await target.lock(["key", "absent"])
    assert [(one.method, one.path_qs) for one in store.asked] == [
        ("PUT", "/bucket/prefix/key?retention="),
        ("PUT", "/bucket/prefix/absent?retention="),
    ]
    assert b"<Mode>COMPLIANCE</Mode><RetainUntilDate>2030-01-04T03:04:05Z</RetainUntilDate>" in bodies[0]


@pytest.mark.parametrize(("until", "is_refused"), [("2030-01-04T03:04:06Z", False), ("2030-01-04T03:04:04Z", True)])
async def test_a_longer_lock_than_the_options_say_is_left(tmp_path: Path, until: str, is_refused: bool) -> None:
    def answer(request: web.Request) -> web.Response:
        if request.method == "PUT":
            return refusal(403, "AccessDenied")
        return web.Response(headers={"x-amz-object-lock-retain-until-date": until})

    async with Store(answer, tmp_path).target(**LOCKS) as target:
        if is_refused:
            with pytest.raises(PermissionDenied, match="lock key"):
                await target.lock(["key"])
        else:
            await target.lock(["key"])


async def test_only_what_is_locked_now_is_locked(tmp_path: Path) -> None:
    dates = {"over": "2030-01-02T03:04:05Z", "locked": "2030-01-02T03:04:06.000Z", "garbled": "soon"}

    def answer(request: web.Request) -> web.Response:
        name = request.path.rpartition("/")[2]
        if name == "absent":
            return refusal(404, "NoSuchKey")
        return web.Response(headers={"x-amz-object-lock-retain-until-date": dates[name]} if name in dates else {})

    async with Store(answer, tmp_path).target(**LOCKS) as target:
        assert await target.locked([*dates, "never", "absent"]) == {"locked"}


async def test_options_are_sent_with_each_object(tmp_path: Path) -> None:
    store = Store(lambda _: web.Response(), tmp_path)
    async with store.target(
        sse="aws:kms",
        sse_kms_key_id="key-id",
        storage_class="STANDARD_IA",
        object_lock_mode="GOVERNANCE",
        object_lock_retain_days=2,
    ) as target:
        await target.put("key", b"123456789", if_absent=True)
    sent = store.asked[0].headers
    assert {
        name.lower(): sent[name] for name in sent if re.match("(?i)x-amz-(server|storage|object|checksum)|if-", name)
    } == {
        "if-none-match": "*",
        "x-amz-server-side-encryption": "aws:kms",
        "x-amz-server-side-encryption-aws-kms-key-id": "key-id",
        "x-amz-storage-class": "STANDARD_IA",
        "x-amz-object-lock-mode": "GOVERNANCE",
        "x-amz-object-lock-retain-until-date": "2030-01-04T03:04:05Z",
        "x-amz-checksum-crc32c": "4waSgw==",  # The check value of CRC-32C.
    }
