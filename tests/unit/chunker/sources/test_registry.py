from __future__ import annotations

from pathlib import Path

import pytest

from chunker.errors import InvalidAddress, SourceMisconfigured
from chunker.extents import Extent
from chunker.sources.open import Sources
from chunker.testing import opened, read
from tests.support.written_page import install

CODE = """
from chunker.errors import InvalidAddress, SourceMisconfigured
from chunker.sources.memory import MemoryVolume

class Kind:
    def __init__(self, options):
        if set(options) != {"rooms"}:
            raise SourceMisconfigured("option rooms: missing")
        self.rooms = options["rooms"]

    def check(self, address):
        if address.host not in self.rooms:
            raise InvalidAddress(f"expected a room of {', '.join(self.rooms)}")

    def open(self, address, *, allow_live, direct_io):
        return MemoryVolume(4, seed=1, identity=str(address))
"""
PROJECT = {"name": "hotel", "version": "1", "entry-points": {"backupd.sources": {"hotel": "hotel:Kind"}}}


@pytest.fixture
def _hotel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, module="hotel", project=PROJECT, code=CODE)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("_hotel")
def test_a_kind_of_another_package_is_found_by_its_entry_point() -> None:
    sources = Sources({"hotel": {"rooms": ["101"]}})
    with opened(sources.open("hotel+key://101/bed", changed_extents=[Extent(0, 1)])) as point:
        assert point.identity == "hotel+key://101/bed"
        assert len(read(point, Extent(0, 4))) == 4


@pytest.mark.usefixtures("_hotel")
@pytest.mark.parametrize("ask", ["check", "open"])
def test_an_address_that_its_kind_does_not_allow_is_refused(ask: str) -> None:
    with pytest.raises(InvalidAddress, match="expected a room of 101"):
        getattr(Sources({"hotel": {"rooms": ["101"]}}), ask)("hotel://102/bed")


@pytest.mark.usefixtures("_hotel")
def test_a_kind_that_the_operator_has_not_configured_is_not_allowed() -> None:
    with pytest.raises(InvalidAddress, match=r"allows: file; there is no section \[sources.hotel\]"):
        Sources({}).check("hotel://101/bed")


@pytest.mark.usefixtures("_hotel")
def test_a_wrong_option_is_named_with_its_kind() -> None:
    with pytest.raises(SourceMisconfigured, match="hotel: option rooms: missing"):
        Sources({"hotel": {}})


def test_a_kind_that_nobody_brings_is_a_problem_of_the_configuration() -> None:
    with pytest.raises(SourceMisconfigured, match="motel: unknown kind, expected one of"):
        Sources({"motel": {}})


def test_a_kind_that_cannot_be_loaded_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = {**PROJECT, "entry-points": {"backupd.sources": {"motel": "motel:Kind"}}}
    install(tmp_path, module="motel", project=project, code="import lobby")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(
        SourceMisconfigured, match=r"motel: its driver \(motel:Kind\) cannot be loaded: No module named"
    ):
        Sources({"motel": {}})
