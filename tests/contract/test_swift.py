"""Swift keeps the contract, with each login, bare and as the daemon uses it."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from targets.base import Target
from targets.errors import ObjectNotFound
from targets.swift import Place, SwiftOptions, SwiftTarget
from targets.testing import TargetContract
from targets.wrappers.single_writer import SingleWriter
from tests.contract.test_targets import failing, limited, retried
from tests.support.servers.keystone import Keystone
from tests.support.servers.rgw import Rgw
from tests.support.servers.swift import Swift
from tests.support.swift_targets import on_rgw, opened, password, v1

# The first test of each starts servers, and these store 50 objects a second and less.
pytestmark = pytest.mark.timeout(240)
MANY_COUNT = 250  # Three pages of 100.


class SwiftContract(TargetContract):
    """Of an object that is being replaced Swift says 503 now and then, which is for the retries."""

    async def test_readers_see_one_of_two_objects_whole(self, target: Target) -> None:
        await super().test_readers_see_one_of_two_objects_whole(retried(target))


async def awake(target: Target) -> Target:
    """Return the target once its container is made; a gateway that has just started fails at that now and then."""
    with suppress(ObjectNotFound):
        await retried(target).head("absent")
    return target


class TestSwift(SwiftContract):
    many_count = MANY_COUNT

    @pytest.fixture
    async def target(self, swift: Swift, tmp_path: Path) -> AsyncIterator[Target]:
        async with opened(v1(swift, tmp_path), swift.container()) as target:
            yield target


class TestSwiftStack(TargetContract):
    """As the daemon builds it for a single writer, below a prefix, over a target that fails at times."""

    many_count = MANY_COUNT

    @pytest.fixture
    async def target(self, swift: Swift, tmp_path: Path) -> AsyncIterator[Target]:
        swift_target = SwiftTarget(Place(swift.container(), "site-1/backups/"), v1(swift, tmp_path))
        yield retried(limited(SingleWriter(failing(swift_target)), operations_max=8))
        await swift_target.aclose()


@pytest.fixture(scope="module")
def keystone_options(keystone: Keystone, tmp_path_factory: pytest.TempPathFactory) -> SwiftOptions:
    return password(keystone, tmp_path_factory.mktemp("keystone-user"))


class TestSwiftWithKeystone(SwiftContract):
    many_count = MANY_COUNT

    @pytest.fixture
    async def target(self, swift_keystone: Swift, keystone_options: SwiftOptions) -> AsyncIterator[Target]:
        async with opened(keystone_options, swift_keystone.container()) as target:
            yield target


class TestSwiftWithKeystoneThatFails(TargetContract):
    many_count = MANY_COUNT

    @pytest.fixture
    async def target(self, swift_keystone: Swift, keystone_options: SwiftOptions) -> AsyncIterator[Target]:
        async with opened(keystone_options, swift_keystone.container()) as target:
            yield retried(SingleWriter(failing(target)))


class TestSwiftOfRgw(TargetContract):
    """Its pages are of 1000 objects."""

    @pytest.fixture
    async def target(self, rgw: Rgw, tmp_path: Path) -> AsyncIterator[Target]:
        async with opened(on_rgw(rgw, tmp_path), f"swift-{uuid.uuid4()}") as target:
            yield await awake(target)


class TestSwiftOfRgwThatFails(TargetContract):
    many_count = MANY_COUNT

    @pytest.fixture
    async def target(self, rgw: Rgw, tmp_path: Path) -> AsyncIterator[Target]:
        async with opened(on_rgw(rgw, tmp_path), f"swift-{uuid.uuid4()}") as target:
            yield retried(SingleWriter(failing(await awake(target))))
