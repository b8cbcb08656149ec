"""The S3 target keeps the contract, against real stores."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from targets.base import Target
from targets.testing import TargetContract
from targets.wrappers.retry import Retry
from tests.contract.test_targets import failing
from tests.support.buckets import make_bucket
from tests.support.servers.rgw import Rgw
from tests.support.servers.seaweedfs import ADMIN, SeaweedFs


def retried(target: Target) -> Target:
    """Return it with pauses: a store may need a moment until it knows who of two was first."""
    return Retry(target, retries_max=30, timeout_s=30, delay_s=0.001)


class TestSeaweedFs(TargetContract):
    @pytest.fixture
    async def target(self, seaweedfs: SeaweedFs, tmp_path: Path) -> AsyncIterator[Target]:
        bucket = make_bucket(seaweedfs.url, ADMIN, tmp_path)
        target = bucket.target(prefix="/backups/one")
        yield target
        assert bucket.unfinished_uploads() == []
        await target.aclose()


class TestSeaweedFsInParts(TargetContract):
    """What is large goes in parts, and a bucket may be shared."""

    @pytest.fixture
    async def target(self, seaweedfs: SeaweedFs, tmp_path: Path) -> AsyncIterator[Target]:
        bucket = make_bucket(seaweedfs.url, ADMIN, tmp_path)
        other = bucket.target(prefix="/backups/one-and-another")
        await other.put("packs/ab/1", b"somebody else's")
        await other.aclose()
        target = bucket.target(prefix="/backups/one", multipart_above_bytes=5 * 2**20, part_bytes=5 * 2**20)
        yield target
        assert bucket.unfinished_uploads() == []
        await target.aclose()


class TestSeaweedFsThatFails(TargetContract):
    """Retryable faults must be invisible above the retries."""

    @pytest.fixture
    async def target(self, seaweedfs: SeaweedFs, tmp_path: Path) -> AsyncIterator[Target]:
        target = make_bucket(seaweedfs.url, ADMIN, tmp_path).target()
        yield retried(failing(target))
        await target.aclose()


class TestRgw(TargetContract):
    """It knows no CRC32C, and would not look at it."""

    @pytest.fixture
    async def target(self, rgw: Rgw, tmp_path: Path) -> AsyncIterator[Target]:
        bucket = make_bucket(rgw.url, (rgw.access_key, rgw.secret_key), tmp_path)
        target = bucket.target(prefix="/backups", checksum="md5")
        yield target
        await target.aclose()


class TestRgwThatFails(TargetContract):
    @pytest.fixture
    async def target(self, rgw: Rgw, tmp_path: Path) -> AsyncIterator[Target]:
        bucket = make_bucket(rgw.url, (rgw.access_key, rgw.secret_key), tmp_path)
        target = bucket.target(prefix="/backups", checksum="md5")
        yield retried(failing(target))
        await target.aclose()
