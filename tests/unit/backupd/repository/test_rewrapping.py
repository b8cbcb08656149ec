"""P7: a rotation of the master key that stops anywhere leaves every repository readable, and goes on."""

from __future__ import annotations

import pytest

from backupd.errors import CorruptObject, KeyMissing
from backupd.repository import description, layout
from backupd.repository.keyring import Keyring
from backupd.repository.repository import new_description
from backupd.repository.rewrapping import Rewrapped, master_keys_of, renew_previous, rewrap
from targets.base import Body
from targets.memory import MemoryTarget

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
BOTH = Keyring([NEW, OLD], origin="test")
ONLY_NEW = Keyring([NEW], origin="test")
ONLY_OLD = Keyring([OLD], origin="test")


class _Stopped(Exception):
    """The process is gone."""


class _Stopping(MemoryTarget):
    """Stops before or after the ``number``-th write; garbles what is written if told to."""

    def __init__(self, number: int = 0, *, after: bool = False, is_garbling: bool = False) -> None:
        super().__init__()
        self.number = number
        self.after = after
        self.is_garbling = is_garbling

    async def put(self, key: str, body: Body, *, if_absent: bool = False) -> None:
        self.number -= 1
        if self.number == 0 and not self.after:
            raise _Stopped
        garbled = self.is_garbling and key == layout.REPOSITORY
        self.is_garbling = self.is_garbling and not garbled
        await super().put(key, bytes(body)[:-1] + b"!" if garbled else body, if_absent=if_absent)
        if self.number == 0:
            raise _Stopped


async def filled(target: MemoryTarget) -> description.Description:
    body = new_description(ONLY_OLD, is_encrypted=True, created_at="2026-11-24T03:00:00+00:00")
    await MemoryTarget.put(target, layout.REPOSITORY, body)
    return description.read(body, ONLY_OLD)


async def test_a_rewrapped_repository_opens_with_the_new_key_alone() -> None:
    target = MemoryTarget()
    before = await filled(target)
    assert await rewrap(target, BOTH) is Rewrapped.DONE
    assert description.read(await target.get(layout.REPOSITORY), ONLY_NEW) == before
    assert await master_keys_of(target) == {ONLY_NEW.current_fingerprint}


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("after", [False, True])
async def test_p7_closed_a_rotation_that_stops_at_any_write_goes_on(number: int, after: bool) -> None:
    target = _Stopping(number, after=after)
    before = await filled(target)
    with pytest.raises(_Stopped):
        await rewrap(target, BOTH)
    assert description.read(await target.get(layout.REPOSITORY), BOTH) == before
    assert await rewrap(target, BOTH) in (Rewrapped.DONE, Rewrapped.CURRENT)
    assert description.read(await target.get(layout.REPOSITORY), ONLY_NEW) == before


async def test_p7_closed_a_target_that_garbles_the_new_one_has_the_old_one_again() -> None:
    target = _Stopping(is_garbling=True)
    before = await filled(target)
    with pytest.raises(CorruptObject, match="the old one was put back"):
        await rewrap(target, BOTH)
    assert description.read(await target.get(layout.REPOSITORY), ONLY_OLD) == before


async def test_p7_closed_without_the_old_key_nothing_is_written() -> None:
    target = MemoryTarget()
    await filled(target)
    before = await target.get(layout.REPOSITORY)
    with pytest.raises(KeyMissing, match=f"master key {ONLY_OLD.current_fingerprint} is missing"):
        await rewrap(target, ONLY_NEW)
    assert [info.key async for info in target.list("")] == [layout.REPOSITORY]
    assert await target.get(layout.REPOSITORY) == before


async def test_where_there_is_no_repository_there_is_none_afterwards() -> None:
    target = MemoryTarget()
    assert await rewrap(target, BOTH) is Rewrapped.ABSENT
    assert await master_keys_of(target) == set()
    await renew_previous(target)
    assert [info async for info in target.list("")] == []


async def test_the_previous_generation_is_renewed_when_the_old_key_is_let_go() -> None:
    target = MemoryTarget()
    await filled(target)
    await rewrap(target, BOTH)
    await renew_previous(target)
    assert await target.get(layout.PREVIOUS) == await target.get(layout.REPOSITORY)


async def test_a_lost_repository_is_rewrapped_from_its_previous_generation() -> None:
    target = MemoryTarget()
    before = await filled(target)
    await target.put(layout.PREVIOUS, await target.get(layout.REPOSITORY))
    await target.delete(layout.REPOSITORY)
    assert await master_keys_of(target) == {ONLY_OLD.current_fingerprint}
    assert await rewrap(target, BOTH) is Rewrapped.DONE
    assert description.read(await target.get(layout.REPOSITORY), ONLY_NEW) == before
