"""Draws what ``bench.peers.curves`` measured: ``python -m bench.peers.plots .peers/curves.json docs/performance``."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

MIB, GIB = 1024**2, 1024**3


def chunk_size(found: Mapping[str, Any]) -> None:
    """Draw throughput over chunk size."""
    for name, rates in found["mb_per_s"].items():
        plt.plot(found["chunk_bytes"], rates, marker="o", label=name)
    plt.xscale("log", base=2)
    plt.xticks(found["chunk_bytes"], [f"{size // 1024}" for size in found["chunk_bytes"]])
    plt.ylim(bottom=0)
    plt.xlabel("chunk, KiB")
    plt.ylabel(f"full backup of {found['size_bytes'] / GIB:g} GiB, MB/s")
    plt.legend()


def volume_size(found: Mapping[str, Any]) -> None:
    """Draw what an increment takes over volume size."""
    sizes = [size / GIB for size in found["volume_bytes"]]
    for name, cost in (("wall", "wall_s"), ("CPU", "cpu_s")):
        plt.plot(sizes, [seconds * 1000 for seconds in found[cost]], marker="o", label=name)
    plt.xscale("log", base=2)
    plt.ylim(bottom=0)
    plt.xlabel("volume, GiB")
    plt.ylabel("increment of 64 scattered chunks, ms")
    plt.legend()


def volumes(found: Mapping[str, Any]) -> None:
    """Draw throughput over volumes at once."""
    for threads, rates in found["mb_per_s"].items():
        plt.plot(found["at_once"], rates, marker="o", label=f"{threads} thread{'s' * (threads != '1')}")
    plt.xscale("log", base=2)
    plt.xticks(found["at_once"], [str(count) for count in found["at_once"]])
    plt.ylim(bottom=0)
    plt.xlabel("volumes backed up at once")
    plt.ylabel("all of them together, MB/s")
    plt.legend()


def memory(found: Mapping[str, Any]) -> None:
    """Draw the daemon's memory over time."""
    plt.plot([at_s for at_s, _ in found["samples"]], [size / MIB for _, size in found["samples"]])
    for name, at_s in found["begins_s"].items():
        plt.axvline(at_s, linestyle=":", color="grey")
        plt.text(at_s, 3, f" {name}")
    plt.axhline(150, linestyle="--", color="grey")
    plt.ylim(bottom=0)
    plt.xlabel("s")
    plt.ylabel("resident memory of the daemon, MiB")


PLOTS = {"chunk-size": chunk_size, "volume-size": volume_size, "volumes": volumes, "memory": memory}


def main() -> None:
    """Draw each into a file of its name."""
    source, directory = map(Path, sys.argv[1:])
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "backupd"  # The same figures make the same file.
    directory.mkdir(parents=True, exist_ok=True)
    for name, found in json.loads(source.read_text()).items():
        plt.figure(figsize=(6, 3.5), layout="constrained")
        PLOTS[name](found)
        plt.savefig(directory / f"{name}.svg", metadata={"Date": None})
        plt.close()


if __name__ == "__main__":
    main()
