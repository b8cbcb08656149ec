from __future__ import annotations

import os
from pathlib import Path

import pytest

from backupd.jobs.clone import open_files
from chunker.errors import DestinationUnwritable


def test_what_was_opened_is_closed_when_the_copy_cannot_be_filled(tmp_path: Path) -> None:
    source, pipe = tmp_path / "source", tmp_path / "pipe"
    source.write_bytes(b"content")
    os.mkfifo(pipe)
    before = [*Path("/proc/self/fd").iterdir()]
    with pytest.raises(DestinationUnwritable):
        open_files(str(source), str(pipe))
    assert [*Path("/proc/self/fd").iterdir()] == before
