"""What the store keeps for the S3 target: names, versions, locks."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from backupd.clock import SystemClock
from targets.errors import PermissionDenied, Retryable
from targets.testing import keys
from tests.support.buckets import LARGE, PARTS, Bucket, make_bucket
from tests.support.servers.rgw import Rgw
from tests.support.servers.seaweedfs import ADMIN, SeaweedFs


async def test_locked_object_can_neither_be_deleted_nor_hidden(seaweedfs: SeaweedFs, tmp_path: Path) -> None:
    bucket = make_bucket(seaweedfs.url, ADMIN, tmp_path, locks=True)
    async with bucket.opened(object_lock_mode="COMPLIANCE", object_lock_retain_days=3) as target:
        await target.put("key", b"content", if_absent=True)
        held = bucket.client.get_object_retention(Bucket=bucket.name, Key="key")["Retention"]
        assert held["Mode"] == "COMPLIANCE"
        left = held["RetainUntilDate"] - SystemClock().now()
        assert timedelta(days=2, hours=23) < left <= timedelta(days=3)
        with pytest.raises(PermissionDenied):
            await target.delete("key")
        with pytest.raises(PermissionDenied, match="1 are left: key"):
            await target.delete_many(["absent", "key"])
        await target.delete("absent")
        assert await target.get("key") == b"content"


async def test_a_lock_is_put_off_and_told(seaweedfs: SeaweedFs, tmp_path: Path) -> None:
    bucket = make_bucket(seaweedfs.url, ADMIN, tmp_path, locks=True)
    async with bucket.opened(object_lock_mode="COMPLIANCE", object_lock_retain_days=1) as target:
        await target.put("key", b"content")
    bucket.client.put_object(Bucket=bucket.name, Key="open", Body=b"content")
    async with bucket.opened(object_lock_mode="COMPLIANCE", object_lock_retain_days=3) as target:
        assert await target.locked(["key", "open", "absent"]) == {"key"}
        await target.lock(["key", "absent"])
        held = bucket.client.get_object_retention(Bucket=bucket.name, Key="key")["Retention"]
        assert held["RetainUntilDate"] - SystemClock().now() > timedelta(days=2, hours=23)
    async with bucket.opened(object_lock_mode="COMPLIANCE", object_lock_retain_days=2) as target:
        await target.lock(["key"])  # It is locked for longer.


async def test_large_locked_object_is_locked_too(seaweedfs: SeaweedFs, tmp_path: Path) -> None:
    bucket = make_bucket(seaweedfs.url, ADMIN, tmp_path, locks=True)
    async with bucket.opened(object_lock_mode="GOVERNANCE", object_lock_retain_days=1, **PARTS) as target:
        await target.put("key", LARGE)
        with pytest.raises(PermissionDenied):
            await target.delete("key")


async def test_all_versions_are_deleted_when_their_lock_has_run_out(seaweedfs: SeaweedFs, tmp_path: Path) -> None:
    bucket = make_bucket(seaweedfs.url, ADMIN, tmp_path, locks=True)
    for key in ("key", "key", "key-1", "other"):  # The SDK's are not locked.
        bucket.client.put_object(Bucket=bucket.name, Key=key, Body=b"content")
    async with bucket.opened(object_lock_mode="COMPLIANCE", object_lock_retain_days=1) as target:
        await target.delete("key")
        assert await keys(target) == ["key-1", "other"]
        await target.delete_many(["key", "other"])
    left = bucket.client.list_object_versions(Bucket=bucket.name)
    assert [version["Key"] for version in left["Versions"]] == ["key-1"]
    assert left.get("DeleteMarkers", []) == []


async def test_names_that_are_no_keys_are_left_out(bucket: Bucket) -> None:
    for name in ("backups/Upper", "backups/a b&c", "backups/folder/", "backups/key", "elsewhere"):
        bucket.client.put_object(Bucket=bucket.name, Key=name, Body=b"content")
    async with bucket.opened(prefix="/backups") as target:
        assert await keys(target) == ["key"]


async def test_prefix_may_need_quoting(bucket: Bucket) -> None:
    async with bucket.opened(prefix="/Kunden%20%26%20S%C3%B6hne/+") as target:
        await target.put("key", b"content")
        assert await target.get("key") == b"content"
        assert await keys(target) == ["key"]
        assert bucket.keys() == ["Kunden & S\N{LATIN SMALL LETTER O WITH DIAERESIS}hne/+/key"]
        await target.delete_many(["key"])
        assert bucket.keys() == []


async def test_rgw_verifies_md5_and_keeps_parts_together(rgw: Rgw, tmp_path: Path) -> None:
    bucket = make_bucket(rgw.url, (rgw.access_key, rgw.secret_key), tmp_path)
    async with bucket.opened(checksum="md5", **PARTS) as target:
        await target.put("key", LARGE)
        assert await target.get("key") == LARGE
        assert bucket.unfinished_uploads() == []
        wire = target._wire
        with pytest.raises(Retryable):
            async with wire.ask(
                "put key",
                "PUT",
                wire.urls.object("other"),
                headers={"content-md5": "AAAAAAAAAAAAAAAAAAAAAA=="},
                body=memoryview(b"content"),
            ):
                pass
        assert await keys(target) == ["key"]
