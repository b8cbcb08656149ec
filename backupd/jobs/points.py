"""Points in time that nobody wants any more."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from chunker.sources.base import PointInTime


def let_go(points: Sequence[PointInTime]) -> None:
    """Roll back and close each of them, whatever becomes of the others. Blocks."""
    with ExitStack() as ending:
        for point in points:
            ending.callback(point.close)
            ending.callback(point.rollback)
