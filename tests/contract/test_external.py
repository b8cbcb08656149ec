"""Volumes whose changes a command tells keep the contract of sources."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from chunker.sources.base import Source
from chunker.sources.external.source import ExternalSource
from chunker.sources.open import Sources
from chunker.testing import ResizingContract
from tests.support import journal_tracker
from tests.support.journal_tracker import Journal


class TestExternal(ResizingContract):
    histories = 1

    @pytest.fixture(autouse=True)
    def _command(self, tmp_path: Path) -> None:
        self.directory = tmp_path
        command = [sys.executable, "-I", "-S", journal_tracker.__file__, str(tmp_path)]
        options = {"command": command, "paths": [str(tmp_path)], "parameters": {"volume": "[a-z]+[0-9]*"}}
        self.sources = Sources({"external": {"journal": options}})

    def make_source(self, content: bytes) -> Source:
        name = f"disk{len(list(self.directory.iterdir()))}"
        (self.directory / name).mkdir()
        (self.directory / name / "image").write_bytes(content)
        return self.sources.open(f"external:journal?volume={name}")

    def make_missing(self) -> Source:
        return self.sources.open("external:journal?volume=nothing")

    def swap(self, source: Source) -> None:
        image = self.journal(source).image
        other = image.with_name("other")
        other.write_bytes(image.read_bytes())
        other.replace(image)

    def write(self, source: Source, offset_bytes: int, content: bytes) -> None:
        self.journal(source).write(offset_bytes, content)

    def resize(self, source: Source, size_bytes: int) -> None:
        self.journal(source).resize(size_bytes)

    def journal(self, source: Source) -> Journal:
        assert isinstance(source, ExternalSource)
        return Journal(self.directory / source.parameters["volume"])
