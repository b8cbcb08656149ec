"""The example for the CSI SnapshotMetadata service keeps the contract, against a server of the published protocol."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from chunker.errors import SourceUnreadable
from chunker.extents import Extent
from chunker.sources.base import ParentPoint, PointInTime, Source
from chunker.sources.open import Sources
from chunker.testing import SIZE_BYTES, TrackingContract, assert_covers, content_with_hole, opened
from tests.support.daemon import ROOT
from tests.support.loop_device import required
from tests.support.servers.process import Missing
from tests.support.servers.snapshot_metadata import BLOCK_BYTES, SnapshotMetadata, serving

EXAMPLE = ROOT / "examples" / "csi" / "snapshot_metadata.py"


@pytest.fixture(scope="module")
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SnapshotMetadata]:
    with required(request.config):
        try:
            grpc = import_module("grpc")
            import_module("grpc_tools")  # What makes the messages.
        except ImportError as error:
            raise Missing(f"{error}: pip install 'backupd[csi]'") from error
    with serving(tmp_path_factory.mktemp("snapshot-metadata"), grpc) as service:
        yield service


class Cluster(Source):
    """A volume in a cluster: a snapshot is made and attached whenever a backup begins, as the page tells."""

    def __init__(self, name: str, content: bytes, directory: Path, service: SnapshotMetadata, inner: Source) -> None:
        self.content = bytearray(content)
        self.handle = name
        self._name = name
        self._directory = directory
        self._service = service
        self._inner = inner
        self._snapshots: dict[str, str] = {}

    def open(self) -> PointInTime:
        snapshot = f"{self._name}-{len(self._snapshots)}"
        self._snapshots[snapshot] = str(uuid.uuid4())
        self._service.snapshots["apps", snapshot] = bytes(self.content)
        device = self._directory / f"device-{snapshot}"
        device.write_bytes(self.content)
        self.attach(snapshot, device)
        return self._inner.open()

    def attach(self, snapshot: str, device: Path) -> None:
        told = {
            "volume_handle": self.handle,
            "snapshot": snapshot,
            "device": str(device),
            "snapshots": self._snapshots,
        }
        (self._directory / f"apps.{self._name}.json").write_text(json.dumps(told))

    def forget(self) -> None:
        self._snapshots.clear()


class TestSnapshotMetadata(TrackingContract):
    histories = 1
    rounds = 4

    @pytest.fixture(autouse=True)
    def _service(self, service: SnapshotMetadata, tmp_path: Path) -> None:
        self.service, self.directory = service, tmp_path
        trust = ["--ca", str(service.ca), "--token", str(service.token)]
        options = ["--address", service.address, *trust, "--points", str(tmp_path)]
        names = {"namespace": "[a-z0-9-]+", "volume": "[a-z0-9-]+"}
        csi = {"command": [sys.executable, str(EXAMPLE), *options], "paths": [str(tmp_path)], "parameters": names}
        self.sources = Sources({"external": {"csi": csi}})

    def make_source(self, content: bytes) -> Source:
        return self.cluster(f"pvc-{len(self.service.snapshots)}", content)

    def cluster(self, name: str, content: bytes) -> Cluster:
        inner = self.sources.open(f"external:csi?namespace=apps&volume={name}")
        return Cluster(name, content, self.directory, self.service, inner)

    def make_missing(self) -> Source:
        return self.sources.open("external:csi?namespace=apps&volume=nothing")

    def swap(self, source: Source) -> None:
        assert isinstance(source, Cluster)
        source.handle = "another"
        attached = json.loads((self.directory / f"apps.{source._name}.json").read_text())
        source.attach(attached["snapshot"], Path(attached["device"]))

    def write(self, source: Source, offset_bytes: int, content: bytes) -> None:
        assert isinstance(source, Cluster)
        source.content[offset_bytes : offset_bytes + len(content)] = content

    def test_a_stream_that_breaks_off_goes_on_from_there(self) -> None:
        source, parent = self.scattered()
        with opened(source) as point:
            self.service.break_offs, self.service.starting_offsets = 2, []
            extents = [Extent(number * 8 * BLOCK_BYTES, 1) for number in range(20)]
            assert_covers(point, parent, *extents)
            told = point.changed_since(parent).extents
            assert told is not None
            assert len(told) == 20
        assert sorted(set(self.service.starting_offsets)) == [0, (6 * 8 + 1) * BLOCK_BYTES, (13 * 8 + 1) * BLOCK_BYTES]

    def test_a_stream_that_breaks_off_again_and_again_is_given_up(self) -> None:
        source, parent = self.scattered()
        with opened(source) as point:
            self.service.is_down, self.service.starting_offsets = True, []
            try:
                with pytest.raises(SourceUnreadable, match="the service answers UNAVAILABLE: the sidecar is restarted"):
                    point.changed_since(parent)
            finally:
                self.service.is_down = False
        assert self.service.starting_offsets == [0] * 6

    @pytest.mark.parametrize(
        ("fault", "value", "message"),
        [
            ("is_out_of_order", True, r"block_metadata: \[\d+, 4096\], expected to begin at \d+ or later"),
            ("capacity_error_bytes", 512, r"volume_capacity_bytes: \d+, expected the device's \d+"),
        ],
    )
    def test_a_stream_that_breaks_the_rules_is_refused(self, fault: str, value: Any, message: str) -> None:
        source, parent = self.scattered()
        with opened(source) as point:
            setattr(self.service, fault, value)
            try:
                with pytest.raises(SourceUnreadable, match=message):
                    point.changed_since(parent)
            finally:
                setattr(self.service, fault, type(value)())

    def test_a_token_that_is_not_accepted_is_named_and_not_shown(self) -> None:
        source, parent = self.scattered()
        right = self.service.token.read_text()
        with opened(source) as point:
            served = self.service.token
            self.service.token = served.with_name("other")
            self.service.token.write_text("another")
            try:
                with pytest.raises(SourceUnreadable, match="the service answers UNAUTHENTICATED") as caught:
                    point.changed_since(parent)
            finally:
                self.service.token = served
        assert right.strip() not in str(caught.value)

    def test_a_snapshot_of_the_same_name_is_no_parent(self) -> None:
        source, parent = self.scattered()
        source.forget()
        with opened(source) as point:
            assert "the snapshot of the parent" in str(point.changed_since(parent).reason)

    def test_a_commit_tells_who_made_the_snapshot(self) -> None:
        source = self.make_source(content_with_hole())
        with opened(source) as point:
            point.commit()
            (committed,) = self.directory.glob("*.committed")
            assert committed.read_text() == point.token

    def scattered(self) -> tuple[Cluster, ParentPoint]:
        """Return a volume of which 20 blocks were written since a point, each apart from the others."""
        source = self.make_source(content_with_hole())
        assert isinstance(source, Cluster)
        parent = self._committed(source)
        for number in range(20):
            self.write(source, number * 8 * BLOCK_BYTES, b"\xa5\x5a\xa5")
        assert 20 * 8 * BLOCK_BYTES < SIZE_BYTES
        return source, parent
