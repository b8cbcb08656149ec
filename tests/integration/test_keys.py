"""P7: without the right key nothing is read, nothing is written, and the key that is missing is named."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import pytest

from backupd.errors import KeyMismatch, KeyMissing
from backupd.repository import keyring
from tests.support.crashes import resumed
from tests.support.daemon import Place

CONTENT = b"secret " * 10_000


class Owned:
    """A place with a backup, and the key file that reads it."""

    def __init__(self, place: Place, backup: Any) -> None:
        self.place = place
        self.backup = backup
        self.key_file = place.root / "state" / "master.key"
        self.line = self.key_file.read_text()
        self.fingerprint = keyring.load(self.key_file).current_fingerprint

    @property
    def path(self) -> Path:
        return self.place.restores / "disk"


@pytest.fixture
async def owned(place: Place) -> Owned:
    (place.sources / "disk").write_bytes(CONTENT)
    async with resumed(place) as api:
        backup = await api.back_up(await api.add_volume(place.sources / "disk"))
    return Owned(place, backup)


def other_line() -> str:
    return keyring.line(secrets.token_bytes(32)) + "\n"


async def test_p7_closed_another_key_reads_and_writes_nothing(owned: Owned) -> None:
    owned.key_file.write_text(other_line())
    before = owned.place.objects("**")
    async with resumed(owned.place) as api:
        jobs = [
            await api.start_backup("disk"),
            await api.start_restore(owned.backup, owned.path),
            (await api.post("/v1/verifications", {"backup": owned.backup["id"]}))["job"],
        ]
        failures = [(await api.ended(job))["failure"] for job in jobs]
    assert {one["code"] for one in failures} == {"key.missing"}
    assert all(f"master key {owned.fingerprint} is missing" in one["message"] for one in failures)
    assert list(owned.place.restores.iterdir()) == []
    assert owned.place.objects("**") == before


async def test_p7_closed_no_message_holds_a_key(owned: Owned) -> None:
    line = other_line()
    owned.key_file.write_text(line)
    async with resumed(owned.place) as api:
        job = await api.ended(await api.start_restore(owned.backup, owned.path))
    for text in (line, owned.line):
        assert text.split(":")[1] not in str(job)


async def test_a_key_that_is_put_back_reads_again(owned: Owned) -> None:
    owned.key_file.write_text(other_line() + owned.line)
    async with resumed(owned.place) as api:
        restored = await api.restore(owned.backup, owned.path)
        assert restored.read_bytes() == CONTENT
        assert (await api.back_up("disk"))["state"] == "available"


async def test_p7_closed_a_daemon_without_its_key_file_does_not_start(owned: Owned) -> None:
    owned.key_file.unlink()
    with pytest.raises(KeyMissing, match=f"{owned.key_file}: the master key file is missing"):
        async with resumed(owned.place):
            pass
    assert not owned.key_file.exists()


@pytest.mark.parametrize("at", range(0, 90, 7))
async def test_p7_closed_a_mistyped_key_is_told(owned: Owned, at: int) -> None:
    digit = "1" if owned.line[at] == "0" else "0"
    owned.key_file.write_text(owned.line[:at] + digit + owned.line[at + 1 :])
    with pytest.raises(KeyMismatch, match=f"{owned.key_file}: line 1: "):
        keyring.load(owned.key_file)


async def test_p7_closed_a_key_that_others_may_read_is_refused(owned: Owned) -> None:
    owned.key_file.chmod(0o640)
    with pytest.raises(KeyMismatch, match="mode 0640 lets others read the master key"):
        async with resumed(owned.place):
            pass


async def test_p7_closed_a_plain_repository_needs_its_key_too(place: Place) -> None:
    (place.sources / "disk").write_bytes(CONTENT)
    async with resumed(place) as api:
        backup = await api.back_up(await api.add_volume(place.sources / "disk", is_encrypted=False))
    (place.root / "state" / "master.key").write_text(other_line())
    async with resumed(place) as api:
        job = await api.verify(backup)
    assert job["failure"]["code"] == "key.missing"
