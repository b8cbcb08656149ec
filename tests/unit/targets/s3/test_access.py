"""Temporary credentials: who gives them, when they are renewed, and what is read where."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from backupd.clock import SystemClock
from targets.errors import Misconfigured, PermissionDenied, Retryable, TargetError, Throttled, Unavailable
from targets.s3 import S3Options
from targets.s3.access import Chain
from tests.support.buckets import write_keys

LONG = timedelta(hours=1)
SHORT = timedelta(minutes=5)  # They must be renewed from ten minutes before they run out.

Handler = Callable[[web.Request], Awaitable[web.Response]]
MakeChain = Callable[..., Chain]


class TokenService:
    """Gives keys that say which request they answer, valid for ``valid_for``; before that, ``answer`` may differ."""

    def __init__(self) -> None:
        self.asked = 0
        self.valid_for = LONG
        self.answer: Handler | None = None

    async def handle(self, request: web.Request) -> web.Response:
        await request.read()
        self.asked += 1
        if self.answer is not None:
            return await self.answer(request)
        until = (SystemClock().now() + self.valid_for).strftime("%Y-%m-%dT%H:%M:%SZ")
        given = (
            f"<Credentials><AccessKeyId>access-{self.asked}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>"
            f"<SessionToken>token-{self.asked}</SessionToken><Expiration>{until}</Expiration></Credentials>"
            "<AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/r/s</Arn><AssumedRoleId>i</AssumedRoleId>"
            "</AssumedRoleUser>"
        )
        return web.Response(
            text='<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
            f"<AssumeRoleResult>{given}</AssumeRoleResult></AssumeRoleResponse>"
        )

    def refuses(self, status: int, code: str) -> None:
        async def answer(_: web.Request) -> web.Response:
            text = f"<ErrorResponse><Error><Code>{code}</Code><Message>said so</Message></Error></ErrorResponse>"
            return web.Response(status=status, text=text)

        self.answer = answer


@pytest.fixture
async def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TokenService]:
    service = TokenService()
    app = web.Application()
    app.router.add_post("/", service.handle)
    async with TestServer(app) as server:
        profile = ["[profile role]", "role_arn = arn:aws:iam::123456789012:role/r", "source_profile = default"]
        (tmp_path / "config").write_text("\n".join([*profile, f"endpoint_url = {server.make_url('')}", ""]))
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
        yield service


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[MakeChain]:
    file = write_keys(tmp_path, ("access", "never-to-be-shown"))
    with ThreadPoolExecutor(1) as executor:

        def make(profile: str, *, look_every_s: float = 0, region: str | None = "eu-central-1") -> Chain:
            options = S3Options(
                endpoint="http://127.0.0.1:1", credentials_file=str(file), profile=profile, region=region
            )
            return Chain(options, executor, look_every_s=look_every_s)

        yield make


async def test_role_is_assumed_once_for_all_who_ask(service: TokenService, chain: MakeChain) -> None:
    made = chain("role")
    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(made.keys()) for _ in range(8)]
    assert {(task.result().access_key, task.result().token) for task in asking} == {("access-1", "token-1")}
    assert service.asked == 1


async def test_keys_are_renewed_before_they_run_out(service: TokenService, chain: MakeChain) -> None:
    service.valid_for = SHORT
    made = chain("role")
    assert [(await made.keys()).access_key for _ in range(3)] == ["access-1", "access-2", "access-3"]


async def test_whether_they_are_due_is_not_looked_at_with_every_request(
    service: TokenService, chain: MakeChain
) -> None:
    service.valid_for = SHORT
    made = chain("role", look_every_s=60)
    assert [(await made.keys()).access_key for _ in range(3)] == ["access-1"] * 3


async def test_keys_that_were_refused_are_had_anew(service: TokenService, chain: MakeChain) -> None:
    made = chain("role", look_every_s=60)
    refused = await made.keys()
    assert await made.has_other_keys(refused)
    assert await made.has_other_keys(refused)  # Somebody else's request was refused too, at the same time.
    assert ((await made.keys()).access_key, service.asked) == ("access-2", 2)


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (403, "AccessDenied", PermissionDenied),
        (400, "ValidationError", PermissionDenied),
        (400, "Throttling", Throttled),
        (500, "InternalFailure", Unavailable),
    ],
)
async def test_refusal_of_the_token_service_is_told_at_once(
    service: TokenService, chain: MakeChain, status: int, code: str, error: type[TargetError]
) -> None:
    service.refuses(status, code)
    with pytest.raises(error, match=f"credentials: .*{code}") as caught:
        await chain("role").keys()
    assert "never-to-be-shown" not in f"{caught.value!r} {caught.value.__cause__!r}"
    assert service.asked == 1


async def test_missing_region_of_the_token_service_is_told(service: TokenService, chain: MakeChain) -> None:
    with pytest.raises(Misconfigured, match="option region"):
        await chain("role", region=None).keys()
    assert service.asked == 0


async def test_token_service_that_hangs_is_left_at_once_and_asked_again(
    service: TokenService, chain: MakeChain
) -> None:
    reached, over = asyncio.Event(), asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        reached.set()
        await over.wait()
        return web.Response(status=500)

    service.answer = hang
    made = chain("role")
    async with asyncio.TaskGroup() as group:
        asking = group.create_task(made.keys())
        await reached.wait()
        asking.cancel()
    service.answer = None
    assert (await made.keys()).access_key == "access-2"
    over.set()


async def test_loop_reads_no_descriptions_of_services(service: TokenService, chain: MakeChain) -> None:
    service.valid_for = SHORT
    made = chain("role")
    with files_opened_in_this_thread() as openers:
        await made.keys()
        await made.keys()
    assert service.asked == 2
    assert {Path(opener).name for opener in openers} == {"configparser.py"}  # The file of credentials.


@contextmanager
def files_opened_in_this_thread() -> Iterator[list[str]]:
    """Record the module of each call of ``open`` in the current thread."""
    openers: list[str] = []

    def watch(frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call" and getattr(argument, "__name__", "") == "open":
            openers.append(frame.f_code.co_filename)

    sys.setprofile(watch)
    try:
        yield openers
    finally:
        sys.setprofile(None)


async def test_program_that_gives_what_has_run_out_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chain: MakeChain
) -> None:
    given = tmp_path / "given.json"
    given.write_text('{"Version": 1, "AccessKeyId": "a", "SecretAccessKey": "s", "Expiration": "2020-01-01T00:00:00Z"}')
    (tmp_path / "config").write_text(f"[profile program]\ncredential_process = cat {given}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    with pytest.raises(Retryable, match="still expired"):
        await chain("program").keys()


async def test_program_that_is_missing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chain: MakeChain
) -> None:
    (tmp_path / "config").write_text(f"[profile program]\ncredential_process = {tmp_path}/absent\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    with pytest.raises(Unavailable, match=r"credentials: .*absent"):
        await chain("program").keys()


def test_file_that_is_no_configuration_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chain: MakeChain
) -> None:
    (tmp_path / "config").write_text("no configuration")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    with pytest.raises(Misconfigured, match=r"config"):
        chain("default")
