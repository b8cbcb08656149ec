from __future__ import annotations

import asyncio
import hashlib

import pytest

from targets.errors import Unavailable
from targets.swift.checksums import Checksums
from tests.support.volumes import random_bytes

SIZES = (0, 1, 64 * 1024, 64 * 1024 + 1, 3 * 256 * 1024 + 1)


@pytest.mark.parametrize("size_bytes", SIZES)
async def test_sum_is_that_of_the_whole_body(size_bytes: int) -> None:
    body = random_bytes(size_bytes)
    checksums = Checksums()
    assert await checksums.md5(memoryview(body)) == hashlib.md5(body).hexdigest()
    checksums.close()


async def test_other_content_than_the_store_tells_is_unavailable() -> None:
    checksums = Checksums()
    await checksums.check("key", b"content", hashlib.md5(b"content").hexdigest())
    with pytest.raises(Unavailable, match="get key"):
        await checksums.check("key", b"Content", hashlib.md5(b"content").hexdigest())
    checksums.close()


async def test_nobody_reads_the_body_when_a_sum_was_cancelled() -> None:
    checksums = Checksums()
    bodies = [bytearray(16 * 1024 * 1024) for _ in range(6)]  # More than there are threads.

    async def add_up(body: bytearray) -> None:
        with memoryview(body) as view:
            await checksums.md5(view)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(add_up(body)) for body in bodies]
        await asyncio.sleep(0)  # They begin.
        for task in tasks:
            task.cancel()
    for body in bodies:
        body.clear()  # BufferError if anybody still refers to it.
    checksums.close()
