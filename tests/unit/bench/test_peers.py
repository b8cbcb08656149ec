"""The comparison with other tools: what can be told without any of them."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from bench.peers import goals, images, results, tables
from bench.peers.commands import CommandFailed, run
from bench.peers.delay import delaying
from bench.peers.floor import Floor, PlainFloor, SmallFloor
from bench.peers.images import GRANULARITY, Image
from bench.peers.results import Results, Run, Step
from bench.peers.tool import Tool

MIB = 1024 * 1024


def step(**figures: float) -> Step:
    usual = {"wall_s": 1.0, "cpu_s": 1.0, "memory_peak_bytes": MIB, "stored_bytes": 8 * MIB, "objects": 1}
    return Step(**{**usual, **figures})


def images_in(directory: Path) -> list[Image]:
    """Return a small base and one increment, which also loses a chunk to zeros."""
    base, after = bytearray(b"data" * (MIB // 2)), bytearray(b"data" * (MIB // 2))
    base[MIB : MIB + 5] = b"older"
    after[: 256 * 1024] = bytes(256 * 1024)
    after[MIB : MIB + 5] = b"newer"
    paths = [directory / name for name in ("base.img", "inc1.img")]
    for path, content in zip(paths, (base, after), strict=True):
        path.write_bytes(content)
    first = Image("base", paths[0], None, images.changed(paths[0], None))
    return [first, Image("inc1", paths[1], first, images.changed(paths[1], paths[0]))]


def test_changed_extents_are_those_of_units_that_differ(tmp_path: Path) -> None:
    base, after = images_in(tmp_path)
    assert base.extents == [(0, 2 * MIB)]
    assert after.extents == [(0, 256 * 1024), (MIB, GRANULARITY)]


def test_the_disk_is_changed_in_place(tmp_path: Path) -> None:
    disk = tmp_path / "disk.img"
    base, after = images_in(tmp_path)
    images.put(base, disk)
    inode = disk.stat().st_ino
    images.put(after, disk)
    assert disk.stat().st_ino == inode
    assert disk.read_bytes() == after.path.read_bytes()


def test_neighbours_are_joined_and_end_with_the_image() -> None:
    assert images.joined([True, True, False, True], 10, 35) == [(0, 20), (30, 5)]


def test_a_command_that_fails_says_which_and_what_it_printed() -> None:
    with pytest.raises(CommandFailed, match=r"(?s)python.*no such disk"):
        run([sys.executable, "-c", "print('no such disk'); raise SystemExit(3)"])


def test_memory_is_that_of_the_command_and_not_of_who_started_it() -> None:
    held = bytearray(b"x" * 256 * MIB)
    assert run(["true"]).memory_peak_bytes < 64 * MIB < len(held)


def test_what_the_children_of_a_command_took_counts() -> None:
    child = f"import subprocess; subprocess.run([{sys.executable!r}, '-c', 'x = b\"x\" * {128 * MIB}'])"
    assert run([sys.executable, "-c", child]).memory_peak_bytes > 128 * MIB


@pytest.mark.parametrize("kind", [Floor, PlainFloor, SmallFloor])
def test_the_floor_restores_what_it_stored(tmp_path: Path, kind: type[Tool]) -> None:
    floor = kind(tmp_path, tmp_path)
    floor.open()
    stages = images_in(tmp_path)
    for image in stages:
        images.put(image, floor.disk)
        floor.back_up(image)
    floor.verify()
    floor.restore(stages[-1], tmp_path / "restored")
    assert (tmp_path / "restored").read_bytes() == stages[-1].path.read_bytes()


def test_medians_are_taken_over_the_rounds_that_did_the_step() -> None:
    found = Results("small")
    found.runs = [Run("tool", "", {"full": step(cpu_s=cpu_s)}) for cpu_s in (1, 9, 2)]
    found.runs[0].steps["verify"] = step(cpu_s=7)
    medians = found.medians()["tool"]
    assert (medians["full"].cpu_s, medians["verify"].cpu_s) == (2, 7)


def test_results_come_back_from_their_file_unless_they_are_of_other_images(tmp_path: Path) -> None:
    found = Results(
        "small", {"cores": 2}, [Run("tool", "about", {"full": step()}, "failed")], {"sparse": {"objects": 3}}
    )
    path = tmp_path / "made" / "results.json"
    results.save(found, path)
    assert results.load(path, "small") == found
    assert results.load(path, "full") == Results("full")


def test_ours_is_judged_against_the_best_peer_and_never_against_the_floor() -> None:
    medians = {
        "backupd": {"restore": step(wall_s=4.0)},
        "floor": {"restore": step(wall_s=1.0)},
        "restic": {"restore": step(wall_s=10.0)},
        "casync": {"restore": step(wall_s=9.0)},
    }
    (verdict,) = [v for v in goals.judged(medians, {}) if v.measure == "restore, wall" and v.basis.startswith("0.5")]
    assert (verdict.limit, verdict.basis, verdict.is_met) == (4.5, "0.5 of casync", True)


def test_each_setting_of_encryption_is_judged_against_the_same_one() -> None:
    medians = {
        "backupd": {"full": step(cpu_s=9)},
        "backupd, plain": {"full": step(cpu_s=8)},
        "borg, 4 MiB": {"full": step(cpu_s=10)},
        "borg, 4 MiB, plain": {"full": step(cpu_s=7)},
    }
    verdicts = {v.basis: v.is_met for v in goals.judged(medians, {}) if v.measure.endswith("full, CPU")}
    assert verdicts == {"1 of borg, 4 MiB": True, "1 of borg, 4 MiB, plain": False}


def test_measures_without_peers_are_judged_too() -> None:
    found = {
        "sparse": {"beyond_data_s": 0.25, "beyond_data_bytes": MIB, "objects_of_few": 3},
        "volumes": {"count": 64, "one_by_one_s": 9.6, "together_s": 10, "unfairness": 0.2},
        "latency": {"full_s": 8, "full_slow_s": 10, "restore_s": 7, "restore_slow_s": 11},
    }
    met = [v.is_met for v in goals.judged({}, found)]
    assert met == [False, True, True, True, False, True, False]


def test_what_fell_short_is_listed_with_both_figures() -> None:
    verdict = goals.Verdict("full, CPU", 12.0, 10.0, "s", "1.1 of floor")
    assert "| full, CPU | 12.00 s | 10.00 s | 1.1 of floor | **short** |" in tables.of_goals([verdict])
    assert tables.short([verdict]) == "- full, CPU: 12.00 instead of 10.00 s (1.1 of floor)"
    assert tables.short([goals.Verdict("objects", 2, 1, "", "")]) == "- objects: 2.00 instead of 1.00"
    assert tables.short([]) == "Of the goals, 0 could be judged, and none fell short."


def test_a_tool_that_cannot_verify_has_a_dash_and_one_that_failed_a_line() -> None:
    found = Results("small")
    found.runs = [Run("tool", "what it is", {"full": step(), "inc1": step(stored_bytes=9 * MIB)}, "first\nthe reason")]
    assert "| tool | 0 | **1.00** / 1.00 / 1 | - | **1.00** / 1.00 / 1 | - | - | 8 + 1 | 1 |" in tables.of_tools(found)
    assert tables.about(found).splitlines() == ["- **tool**: what it is", "- **tool** failed: the reason"]


async def test_the_delaying_proxy_changes_no_byte_either_way() -> None:
    sent = bytes(range(256)) * 8192

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read(-1))[::-1])
        await writer.drain()
        writer.close()

    async with (
        await asyncio.start_server(answer, "127.0.0.1", 0) as server,
        delaying("127.0.0.1", server.sockets[0].getsockname()[1], delay_s=0.01) as port,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        writer.write_eof()
        assert await reader.read(-1) == sent[::-1]
        writer.close()
        await writer.wait_closed()
