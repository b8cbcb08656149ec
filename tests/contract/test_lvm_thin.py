"""The example for LVM thin volumes keeps the contract, over a pool whose metadata is read by the real tools."""

from __future__ import annotations

import shutil
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from chunker.extents import Extent
from chunker.sources.base import Source
from chunker.sources.external.source import ExternalSource
from chunker.sources.open import Sources
from chunker.testing import TrackingContract
from tests.support.daemon import ROOT
from tests.support.loop_device import not_run
from tests.support.thin_pool import GROUP, ThinPool, install_programs, tool

EXAMPLE = ROOT / "examples" / "lvm_thin" / "thin_volumes.py"


class TestThinVolumes(TrackingContract):
    histories = 1
    rounds = 4

    @pytest.fixture(autouse=True)
    def _pool(self, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        if shutil.which(tool("thin_delta")) is None:
            not_run(request.config, "thin_delta is missing here: make servers")
        self.directory = tmp_path
        monkeypatch.setenv("PATH", f"{install_programs(tmp_path)}:/usr/bin:/bin")
        options = ["--group", GROUP, "--devices", str(tmp_path / "dev"), "--locks", str(tmp_path)]
        command = [sys.executable, "-I", "-S", str(EXAMPLE), *options]
        thin = {"command": command, "paths": [str(tmp_path / "dev")], "parameters": {"volume": "[a-z][a-z0-9-]*"}}
        self.sources = Sources({"external": {"thin": thin}})

    def make_source(self, content: bytes) -> Source:
        name = f"volume-{uuid.uuid4()}"
        self.change(lambda pool: pool.create(name, len(content)))
        source = self.sources.open(f"external:thin?volume={name}")
        self.write(source, 0, content)
        return source

    def make_missing(self) -> Source:
        return self.sources.open("external:thin?volume=nothing")

    def swap(self, source: Source) -> None:
        def replace(pool: ThinPool) -> None:
            pool.volumes[name_of(source)]["uuid"] = "another"

        self.change(replace)

    def write(self, source: Source, offset_bytes: int, content: bytes) -> None:
        self.change(lambda pool: pool.write(name_of(source), offset_bytes, content))

    def discard(self, source: Source, extent: Extent) -> None:
        self.change(lambda pool: pool.discard(name_of(source), extent.offset_bytes, extent.length_bytes))

    def change(self, do: Callable[[ThinPool], object]) -> None:
        pool = ThinPool(self.directory)
        do(pool)
        pool.store()


def name_of(source: Source) -> str:
    assert isinstance(source, ExternalSource)
    return source.parameters["volume"]
