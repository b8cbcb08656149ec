"""What a table says about pairs of figures: ours and the other's, one pair for each round."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Pairs = Sequence[tuple[float, float]]


def pairs_of(rounds: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]], cost: str) -> Pairs:
    """Return both figures of a cost, for each round."""
    return [(ours[cost], other[cost]) for ours, other in rounds]


def median(pairs: Pairs, which: int) -> float:
    """Return that of our figures (0) or of the other's (1)."""
    return statistics.median(pair[which] for pair in pairs)


def ratios(pairs: Pairs) -> list[float]:
    """Return ours in terms of the other's, for each round where the other's is not too small to be told."""
    return [ours / other for ours, other in pairs if other]


def median_text(ratios: Sequence[float]) -> str:
    """Return the median for people; a dash if there is none."""
    return f"{statistics.median(ratios):.2f}" if ratios else "-"


def spread_text(ratios: Sequence[float]) -> str:
    """Return the least and the greatest for people; a dash if there are none."""
    return f"{min(ratios):.2f}-{max(ratios):.2f}" if ratios else "-"
