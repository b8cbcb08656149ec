from __future__ import annotations

import asyncio

import pytest

from targets.errors import Unavailable
from targets.http.client import HttpClient
from targets.swift.login import Login
from targets.swift.session import Session


class Desk:
    """Where one logs in: answers when ``opened``, and fails as often as ``failures`` says."""

    def __init__(self, *, failures: int = 0, life_s: float | None = None) -> None:
        self.opened = asyncio.Event()
        self.logins = 0
        self._failures = failures
        self._life_s = life_s

    async def __call__(self, http: HttpClient) -> Login:
        self.logins += 1
        await self.opened.wait()
        if self.logins <= self._failures:
            raise Unavailable("log in: nobody is there")
        return Login(token=f"token-{self.logins}", life_s=self._life_s, storage_url="https://swift.example/v1/a")


def session(desk: Desk) -> Session:
    return Session(HttpClient(connections_max=1), desk)


async def test_one_login_is_for_all_who_wait() -> None:
    desk = Desk()
    one = session(desk)
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(one.login()) for _ in range(20)]
        desk.opened.set()
    assert {task.result().token for task in waiting} == {"token-1"}


async def test_refused_login_is_replaced_once_though_many_were_refused() -> None:
    desk = Desk()
    desk.opened.set()
    one = session(desk)
    refused = await one.login()
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(one.login(refused=refused)) for _ in range(20)]
    assert {task.result().token for task in waiting} == {"token-2"}
    assert (await one.login()).token == "token-2"


async def test_next_in_line_logs_in_when_the_first_was_cancelled() -> None:
    desk = Desk()
    one = session(desk)
    async with asyncio.TaskGroup() as group:
        first, second = (group.create_task(one.login()) for _ in range(2))
        await asyncio.sleep(0)  # The first is at the desk.
        first.cancel()
        desk.opened.set()
    assert second.result().token == "token-2"


async def test_failure_is_for_all_who_waited_and_not_for_who_comes_later() -> None:
    desk = Desk(failures=1)
    one = session(desk)

    async def fail() -> None:
        with pytest.raises(Unavailable, match="nobody is there"):
            await one.login()

    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(fail())
        await asyncio.sleep(0)  # All of them are in line.
        desk.opened.set()
    assert desk.logins == 1
    assert (await one.login()).token == "token-2"


def test_token_is_not_shown() -> None:
    assert "hidden" not in repr(Login(token="hidden", life_s=None, storage_url=""))
