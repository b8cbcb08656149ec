"""The target of Google Cloud Storage keeps the contract, on each server for what that server can do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from targets.base import Target
from targets.open import open_target
from targets.testing import TargetContract
from tests.contract.test_targets import failing, retried
from tests.support.gcs_targets import with_key
from tests.support.servers.gcs import GcsEmulator
from tests.support.servers.gcs_service import gcs_service


def opened(server: GcsEmulator, **options: Any) -> Target:
    url = f"gs://{server.new_bucket()}/backups/one"
    return open_target(url, endpoint=server.endpoint, anonymous=True, **options)


class TestService(TargetContract):
    """The published API, with tokens of a service account."""

    @pytest.fixture
    async def target(self, tmp_path: Path) -> AsyncIterator[Target]:
        async with gcs_service() as service:
            target = with_key(service, tmp_path)
            yield target
            await target.aclose()


class TestServiceThatFails(TargetContract):
    @pytest.fixture
    async def target(self, tmp_path: Path) -> AsyncIterator[Target]:
        async with gcs_service() as service:
            target = with_key(service, tmp_path)
            yield retried(failing(target))
            await target.aclose()


class TestFakeGcsServer(TargetContract):
    @pytest.fixture
    async def target(self, fake_gcs: GcsEmulator) -> AsyncIterator[Target]:
        target = opened(fake_gcs)
        yield target
        await target.aclose()


class TestFakeGcsServerRetried(TargetContract):
    """Retryable faults on the way must be invisible above."""

    @pytest.fixture
    async def target(self, fake_gcs: GcsEmulator) -> AsyncIterator[Target]:
        target = retried(failing(opened(fake_gcs)))
        yield target
        await target.aclose()


class TestGcpStorageEmulator(TargetContract):
    """It would let every writer win, so it is used as a server without preconditions.

    It takes few connections at a time, and one listing is one page however long it is.
    """

    many_count = 50

    @pytest.fixture
    async def target(self, gcs_emulator: GcsEmulator) -> AsyncIterator[Target]:
        target = opened(gcs_emulator, conditional_put=False, connections_max=4)
        yield target
        await target.aclose()
