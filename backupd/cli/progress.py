"""A progress bar on one line of a terminal."""

from __future__ import annotations

from typing import Any, TextIO

from backupd.cli.output import size

_BAR_CELLS = 24
_RETURN_AND_CLEAR = "\r\x1b[K"


class ProgressBar:
    """Redraws one line of ``stream``; draws nothing where there is no terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()

    def draw(self, job: dict[str, Any]) -> None:
        """Show how far ``job`` is."""
        self._write(_RETURN_AND_CLEAR + line(job))

    def clear(self) -> None:
        """Leave the line empty."""
        self._write(_RETURN_AND_CLEAR)

    def _write(self, characters: str) -> None:
        if self._is_terminal:
            self._stream.write(characters)
            self._stream.flush()


def line(job: dict[str, Any]) -> str:
    """Return a job's progress in one line."""
    if job["state"] == "queued":
        return f"{job['kind']}  waiting for a worker"
    progress = job["progress"]
    done, total = progress["done_bytes"], progress["total_bytes"]
    share = min(done / total, 1.0) if total else 0.0
    full_cells = int(share * _BAR_CELLS)
    bar = "#" * full_cells + "-" * (_BAR_CELLS - full_cells)
    rate, eta = progress["rate_bytes_per_s"], progress["eta_s"]
    parts = [
        job["kind"] if job["state"] == "running" else f"{job['kind']} ({job['state']})",
        f"{int(share * 100):3d}% [{bar}]",
        f"{size(done)} of {size(total)}",
        "" if rate is None else f"{size(rate)}/s",
        "" if eta is None else f"ETA {duration(eta)}",
    ]
    return "  ".join(part for part in parts if part)


def duration(seconds: float) -> str:
    """Return a duration as hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
