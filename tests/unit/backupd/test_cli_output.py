from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from backupd.cli.errors import InvalidInput
from backupd.cli.extents import read_changed_extents
from backupd.cli.output import listing, size, table
from backupd.cli.progress import duration, line


def job(
    state: str, done: int = 0, total: int = 0, *, rate: float | None = None, eta: float | None = None
) -> dict[str, Any]:
    progress = {"done_bytes": done, "total_bytes": total, "rate_bytes_per_s": rate, "eta_s": eta}
    return {"id": "1", "kind": "backup", "state": state, "progress": progress}


def test_a_table_has_columns_as_wide_as_their_widest_cell() -> None:
    rows: list[dict[str, Any]] = [{"name": "a", "size_bytes": 1536}, {"name": "longer", "size_bytes": None}]
    assert table(rows, ("name", "size_bytes")) == "NAME    SIZE BYTES\na       1.5 KiB\nlonger  -\n"


def test_an_empty_table_has_its_headings() -> None:
    assert table([], ("name",)) == "NAME\n"


def test_a_listing_flattens_inner_documents() -> None:
    document = {"id": "1", "progress": {"done_bytes": 0}, "attempts": [{"state": "lost"}], "empty": []}
    assert listing(document) == (
        "id                   1\nprogress.done_bytes  0 B\nattempts.1.state     lost\nempty                -\n"
    )


def test_a_list_of_names_is_one_cell() -> None:
    assert table([{"reasons": ["last", "daily"]}], ("reasons",)) == "REASONS\nlast, daily\n"


def test_characters_that_steer_a_terminal_are_not_printed() -> None:
    assert table([{"path": "/srv/\x1b[31m\r\n"}], ("path",)) == "PATH\n/srv/?[31m??\n"


@pytest.mark.parametrize(
    ("size_bytes", "shown"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (5 * 1024**4, "5.0 TiB"),
        (2048 * 1024**5, "2048.0 PiB"),
    ],
)
def test_a_size_has_a_unit(size_bytes: int, shown: str) -> None:
    assert size(size_bytes) == shown


@pytest.mark.parametrize(("seconds", "shown"), [(0, "0:00"), (61.4, "1:01"), (3600, "1:00:00")])
def test_a_duration_has_colons(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("document", "shown"),
    [
        (job("queued"), "backup  waiting for a worker"),
        (job("running"), "backup    0% [------------------------]  0 B of 0 B"),
        (
            job("running", 512, 1024, rate=1024.0, eta=61),
            "backup   50% [############------------]  512 B of 1.0 KiB  1.0 KiB/s  ETA 1:01",
        ),
        (job("cancelling", 9, 3), "backup (cancelling)  100% [########################]  9 B of 3 B"),
    ],
)
def test_a_bar_shows_how_far_a_job_is(document: dict[str, object], shown: str) -> None:
    assert line(document) == shown


@pytest.mark.parametrize(
    "entries",
    [
        [{"offset_bytes": 0, "length_bytes": 512}, {"offset_bytes": 4096, "length_bytes": 1}],
        [[0, 512], [4096, 1]],
        [
            {"start": 0, "length": 512, "dirty": True, "data": False},
            {"start": 512, "length": 10, "dirty": False, "data": True},
            {"start": 4096, "length": 1, "dirty": True},
        ],
    ],
)
def test_extents_are_read_in_each_form(tmp_path: Path, entries: object) -> None:
    expected = [{"offset_bytes": 0, "length_bytes": 512}, {"offset_bytes": 4096, "length_bytes": 1}]
    file = tmp_path / "extents.json"
    file.write_text(json.dumps(entries))
    assert read_changed_extents(str(file), io.StringIO()) == expected
    assert read_changed_extents("-", io.StringIO(json.dumps(entries))) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "--changed-extents -: not JSON: expecting value at line 1, column 2"),
        ("{}", "--changed-extents -: expected a JSON list of extents"),
        ('[[0, 1], ["0", 1]]', '--changed-extents -: entry 1: expected {"offset_bytes", "length_bytes"}'),
        ("[[0, 1, 2]]", "--changed-extents -: entry 0: expected"),
        ('[{"start": 0}]', "--changed-extents -: entry 0: expected"),
        # As qemu-img map prints it: there, what a bitmap calls dirty has "data": false.
        ('[{"start": 0, "length": 1, "data": true}]', "--changed-extents -: entry 0: expected"),
    ],
)
def test_bad_extents_are_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_changed_extents("-", io.StringIO(text))
    assert str(caught.value).startswith(message)


def test_an_absent_file_of_extents_is_named() -> None:
    with pytest.raises(InvalidInput, match="--changed-extents /none: cannot be read: no such file or directory"):
        read_changed_extents("/none", io.StringIO())
