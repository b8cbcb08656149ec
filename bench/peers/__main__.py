"""``make bench-peers``: the same disk through every tool in turn. bench/peers/README.md says how to read it."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.peers import (
    benji,
    borg,
    casync,
    cinder_backup,
    floor,
    goals,
    images,
    latency,
    ours,
    qemu_img,
    restic,
    results,
    sparse,
    tables,
    volumes,
)
from bench.peers.commands import CommandFailed
from bench.peers.images import Image
from bench.peers.results import Run, Step
from bench.peers.tool import Cost, Tool
from tests.support.servers.process import Missing

TOOLS: dict[str, type[Tool]] = {
    "backupd": ours.Backupd,
    "backupd-plain": ours.PlainBackupd,
    "floor": floor.Floor,
    "floor-plain": floor.PlainFloor,
    "floor-64k": floor.SmallFloor,
    "borg": borg.EncryptedBorg,
    "borg-plain": borg.Borg,
    "restic": restic.Restic,
    "benji": benji.Benji,
    "cinder-zstd": cinder_backup.CinderZstd,
    "cinder": cinder_backup.Cinder,
    "casync": casync.Casync,
    "qemu-img": qemu_img.QemuImg,
}
MIB = 1024 * 1024
MEASURES: dict[str, Callable[[Path, bool], dict[str, float]]] = {
    "sparse": lambda root, _is_small: sparse.measure(root, rounds=5),
    "volumes": lambda root, is_small: volumes.measure(
        root, count=4 if is_small else 64, size_bytes=(8 if is_small else 32) * MIB, at_once=4 if is_small else 64
    ),
    "latency": lambda root, is_small: latency.measure(
        root, size_bytes=(64 if is_small else 1024) * MIB, rounds=1 if is_small else 3
    ),
}


def round_of(tool: Tool, stages: Sequence[Image], *, about: Run) -> None:
    """Let a tool do its steps and put what they took into ``about``. Raises what the tool raises."""
    base, *increments = stages
    restored = tool.root / "restored.img"

    def done(step: str, cost: Cost | None) -> None:
        if cost is None:
            return
        stored, objects = _extent(tool.repository)
        about.steps[step] = Step(cost.wall_s, cost.cpu_s, cost.memory_peak_bytes, stored, objects)
        print(f"{tool.name:28} {step:8} CPU {cost.cpu_s:7.2f} s, wall {cost.wall_s:7.2f} s, ", end="")
        print(f"{cost.memory_peak_bytes / MIB:5.0f} MiB, stored {stored / 1e6:7.1f} MB", flush=True)

    tool.open()
    try:
        _settle(tool, base)
        done("full", tool.back_up(base))
        os.sync()
        done("verify", tool.verify())  # Now, while all of them have the same to verify, whatever their chunks.
        for image in increments:
            _settle(tool, image)
            done(image.name, tool.back_up(image))
        os.sync()
        done("restore", tool.restore(stages[-1], restored))
        subprocess.run(["cmp", stages[-1].path, restored], check=True)
    finally:
        tool.close()


def _settle(tool: Tool, image: Image) -> None:
    """Put the image where the tool backs it up, and write back what anybody left to be written."""
    images.put(image, tool.disk)
    os.sync()


def _extent(directory: Path) -> tuple[int, int]:
    files = [path for path in directory.rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in files), len(files)


def measured(name: str, stages: Sequence[Image], place: Path) -> Run:
    """Let a tool do its round in a directory of its own. One that fails costs only its own row."""
    with _directory(place, name) as root:
        tool = TOOLS[name](root, place)
        run = Run(tool.name, tool.about)
        try:
            round_of(tool, stages, about=run)
        except (CommandFailed, subprocess.CalledProcessError, OSError, RuntimeError) as error:
            run.failure = str(error) or type(error).__name__
            print(f"{tool.name} failed: {run.failure}", flush=True)
        return run


def measured_more(name: str, place: Path, *, is_small: bool) -> dict[str, float] | None:
    """Measure what needs no peer; None when that failed."""
    with _directory(place, name) as root:
        try:
            found = MEASURES[name](root, is_small)
        except (Missing, OSError, RuntimeError) as error:
            print(f"{name} failed: {str(error) or type(error).__name__}", flush=True)
            return None
    print(f"{name}: {found}", flush=True)
    return found


@contextmanager
def _directory(place: Path, name: str) -> Iterator[Path]:
    root = place / "work" / name
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


def machine() -> dict[str, str | int]:
    """Say where it was measured."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.machine(),
        "cores": os.cpu_count() or 1,
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def _names(parser: argparse.ArgumentParser, option: str, asked: str, known: Iterable[str]) -> list[str]:
    names = [name for name in asked.split(",") if name]
    if unknown := set(names) - set(known):
        parser.error(f"{option} {','.join(sorted(unknown))}: expected some of {','.join(known)}, or nothing")
    return names


def main() -> None:
    """Measure and print; the exit code says only whether it ran."""
    parser = argparse.ArgumentParser(prog="bench.peers", description=__doc__)
    parser.add_argument("--size", choices=["full", "small"], default="full", help="small is for a quick trial")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=",".join(TOOLS), help=f"of {','.join(TOOLS)}; the others' results are kept")
    parser.add_argument("--add", action="store_true", help="add rounds to those that there are")
    parser.add_argument("--measures", default=",".join(MEASURES), help=f"without peers: of {','.join(MEASURES)}")
    parser.add_argument(
        "--place", type=Path, default=Path(".peers"), help="where the peers are installed, and images made"
    )
    parser.add_argument("--json", type=Path, help="the results; default: SIZE.json in that place")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error(f"--rounds {options.rounds}: expected 1 or more; --only '' measures no tool")
    place = options.place.resolve()
    names = _names(parser, "--only", options.only, TOOLS)
    more = _names(parser, "--measures", options.measures, MEASURES)
    path = options.json or place / f"{options.size}.json"
    found = results.load(path, options.size)
    stages = images.ready(place / "images" / options.size, options.size) if names else []
    if not options.add:
        found.without(TOOLS[name].name for name in names)
    found.machine = machine()
    for number in range(options.rounds):
        for name in names if number % 2 == 0 else reversed(names):  # In turns who is first.
            found.runs.append(measured(name, stages, place))
            results.save(found, path)
    for name in more:
        if (figures := measured_more(name, place, is_small=options.size == "small")) is not None:
            found.measures[name] = figures
            results.save(found, path)
    order = [tool.name for tool in TOOLS.values()]
    found.runs.sort(key=lambda run: order.index(run.tool))
    verdicts = goals.judged(found.medians(), found.measures)
    print(
        "", tables.of_tools(found), tables.about(found), tables.of_goals(verdicts), tables.short(verdicts), sep="\n\n"
    )


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))  # Not before what runs has ended.
    main()
