from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from chunker.extents import Extent
from tests.support import volumes

BUILDERS = [volumes.random_bytes, volumes.half_zero_bytes, volumes.guest_like_bytes]
SIZE_BYTES = 3_000_001


@pytest.mark.parametrize("build", BUILDERS)
def test_seed_decides_all_bytes(build: Callable[..., bytes]) -> None:
    assert build(SIZE_BYTES, seed=1) == build(SIZE_BYTES, seed=1) != build(SIZE_BYTES, seed=2)
    assert len(build(SIZE_BYTES)) == SIZE_BYTES


def test_guest_like_bytes_can_be_compressed_somewhat() -> None:
    content = volumes.guest_like_bytes(SIZE_BYTES)
    assert 0.3 < len(zlib.compress(content, 1)) / len(content) < 0.8


def test_half_of_half_zero_bytes_is_zero() -> None:
    assert 0.45 < volumes.half_zero_bytes(SIZE_BYTES * 2).count(0) / (SIZE_BYTES * 2) < 0.55


def test_sparse_file_has_only_the_given_extents(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    content = volumes.write_sparse_file(path, 1_000_000, [Extent(131_072, 4096)])
    assert path.read_bytes() == content
    assert any(content[131_072 : 131_072 + 4096])
    assert path.stat().st_blocks * 512 < 65_536
