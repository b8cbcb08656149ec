from __future__ import annotations

from pathlib import Path

from chunker.destinations.zeroing import zero
from chunker.extents import Extent


def test_whole_blocks_of_a_file_become_a_hole(tmp_path: Path) -> None:
    path = tmp_path / "volume"
    path.write_bytes(b"x" * 1024 * 1024)
    with path.open("r+b") as file:
        zero(file.fileno(), Extent(0, 1024 * 1024))
    assert path.stat().st_blocks == 0
    assert path.read_bytes() == bytes(1024 * 1024)
