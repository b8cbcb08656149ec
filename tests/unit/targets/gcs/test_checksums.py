from __future__ import annotations

import base64
import random

import google_crc32c
import pytest

from targets.gcs.checksums import Checksums, crc32c, told_crc32c

CHECK = "4waSgw=="  # 0xe3069283, the check value of CRC-32C (RFC 3720) for "123456789".


def test_checksum_is_written_as_the_service_writes_it() -> None:
    assert crc32c(b"123456789") == crc32c(memoryview(bytearray(b"123456789"))) == CHECK


@pytest.mark.parametrize("size_bytes", [0, 1, 1024 * 1024 - 1, 1024 * 1024, 3 * 1024 * 1024 + 5])
async def test_checksum_is_the_same_in_pieces_and_in_a_thread(size_bytes: int) -> None:
    content = random.Random(1).randbytes(size_bytes)
    checksums = Checksums()
    assert await checksums.of(memoryview(content)) == crc32c(content)
    assert crc32c(content) == base64.b64encode(google_crc32c.value(content).to_bytes(4, "big")).decode()
    await checksums.aclose()


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([f"crc32c={CHECK},md5=abc="], CHECK),
        (["md5=abc=", f"crc32c={CHECK}"], CHECK),
        ([f"md5=abc=, crc32c={CHECK}"], CHECK),
        (["md5=abc="], None),
        ([], None),
    ],
)
def test_checksum_is_found_among_those_of_the_answer(headers: list[str], expected: str | None) -> None:
    assert told_crc32c(headers) == expected
