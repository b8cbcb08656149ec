"""Where the daemon's processor time goes: ``perf`` over a backup, an increment, a verification and a restore, as text.

``python -m bench.profile [--image PATH] > docs/performance/profile.txt``. Needs perf and the right to use it.
"""

from __future__ import annotations

import argparse
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import volume
from bench.daemon import Daemon
from tests.support.servers.process import free_port

_HERTZ = 999
_LINES = 25
_SHARE_MIN = 0.4
_ROW = r"\s*[\d.]+%?\s*\t\s*(\d+)\s*\t(\S+)\s*\t\[.\] ([^\t]*[^\t\s])"


def profile(daemon: Daemon, root: Path, path: str, request: dict[str, Any], title: str) -> dict[str, Any]:
    """Run a job, print where its time went, and return it."""
    with _recorded(root / "perf.data") as data:
        job = daemon.run(path, request)
    rows, samples = _rows(data, daemon.pid)
    print(
        f"\n== {title}: CPU {job['cpu_s']:.2f} s, {samples / _HERTZ:.2f} s of it sampled; wall {job['wall_s']:.2f} s\n"
    )
    places: dict[str, float] = {}
    for share, place, _ in rows:
        places[place] = places.get(place, 0.0) + share
    for place, share in sorted(places.items(), key=lambda item: -item[1]):
        if share >= _SHARE_MIN:
            print(f"{share:6.1f} %  {place}")
    print()
    for share, place, symbol in rows[:_LINES]:
        if share >= _SHARE_MIN:
            print(f"{share:6.1f} %  {place:44} {symbol}")
    return job


@contextmanager
def _recorded(data: Path) -> Iterator[Path]:
    """Sample the whole machine: only that way are threads seen that begin later."""
    command = ["perf", "record", "-q", "-a", "-e", "cpu-clock", "-F", str(_HERTZ), "-o", str(data)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as recorder:
        try:
            yield data
        finally:
            recorder.send_signal(signal.SIGINT)


def _rows(data: Path, pid: int) -> tuple[list[tuple[float, str, str]], int]:
    """Return (per cent, library, function) of one process, the most first, and how many samples it has."""
    command = ["perf", "report", "--stdio", "-q", "-n", "-i", str(data), "--pid", str(pid)]
    command += ["--sort", "dso,symbol", "--field-separator", "\t"]
    report = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    matches = [re.match(_ROW, line) for line in report.stdout.splitlines()]
    found = [(int(match[1]), _short(match[2]), match[3]) for match in matches if match]
    total = sum(count for count, _, _ in found)
    return [(100 * count / total, library, symbol) for count, library, symbol in found], total


def _short(library: str) -> str:
    return re.sub(r"\.(cpython|abi3)[\w.-]*so$", "", library)


def main() -> None:
    """Profile one job after the other."""
    parser = argparse.ArgumentParser(prog="bench.profile", description=__doc__)
    parser.add_argument("--image", type=Path, help="what is backed up; default: files of this machine")
    parser.add_argument("--directory", type=Path, help="where to work: on the file system of the image")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.directory, prefix="backupd-profile-") as directory:
        root = Path(directory).resolve()
        image = root / "volume.img"
        if options.image:
            subprocess.run(["cp", "--sparse=always", options.image, image], check=True)
        else:
            volume.make(image, 1024**3)
        with Daemon(root, threads=0, port=free_port()) as daemon:
            daemon.post("/v1/backup-types", {"name": "usual", "target": "local"})
            daemon.post("/v1/volumes", {"name": "disk", "path": str(image), "backup_type": "usual"})
            request: dict[str, Any] = {"volume": "disk", "mode": "full"}
            full = profile(daemon, root, "/v1/backups", request, "full backup")
            extents = [{"offset_bytes": o, "length_bytes": n} for o, n in volume.change(image, chunks=512, seed=1)]
            request |= {"mode": "incremental", "parent": full["backup_id"], "changed_extents": extents}
            profile(daemon, root, "/v1/backups", request, "increment of 512 scattered chunks")
            request = {"backup": full["backup_id"]}
            profile(daemon, root, "/v1/verifications", request, "verification")
            request["path"] = str(root / "restored.img")
            profile(daemon, root, "/v1/restores", request, "restore")


if __name__ == "__main__":
    main()
