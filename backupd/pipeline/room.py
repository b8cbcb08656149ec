"""What the memory of one backup has room for."""

from __future__ import annotations

from typing import NamedTuple

from chunker.frame import OVERHEAD_BYTES_MAX, compression_state_bytes

CHUNK_PACK_SIZE_BYTES = 8 * 1024 * 1024 + 640 * 1024  # Some 8 MiB of frames, as the last that does not fit is left out.
NODE_PACK_SIZE_BYTES = 4 * 1024 * 1024
STATE_BYTES_UNCOUNTED = 2 * 1024 * 1024
"""Compression at the usual levels, of a thread: like its stack no part of the budget. What takes more is."""


class Room(NamedTuple):
    """``spans`` are encoded at a time, by ``kits``, whose compression is cut for chunks of ``tuned_for_bytes``.

    ``state_bytes`` of the budget are what the kits compress with.
    """

    spans: int
    kits: int
    tuned_for_bytes: int
    state_bytes: int


def room_for(
    budget_bytes: int, *, chunk_size_bytes: int, span_chunks: int, compression_level: int, thread_count: int
) -> Room:
    """Return how much may be encoded ahead: enough for all threads if the memory is there, else with fewer kits.

    Only when not even one kit fits, what it compresses with is cut smaller. A span takes its plain bytes and its
    frames. What is left must do for one open pack of either kind, or nothing could ever be uploaded to make room.
    """
    span_size = span_chunks * (2 * chunk_size_bytes + OVERHEAD_BYTES_MAX)
    left = budget_bytes - CHUNK_PACK_SIZE_BYTES - NODE_PACK_SIZE_BYTES
    if left < span_size:
        needed = budget_bytes - left + span_size
        raise ValueError(f"a budget of {budget_bytes} bytes, expected at least {needed}")
    tuned_for = chunk_size_bytes
    while (state := _counted_state(compression_level, tuned_for)) > left - span_size:
        tuned_for //= 2
    kits = min(thread_count, left // (span_size + state))
    # More spans than kits only when every thread has one: else they would wait for kits in the threads of others.
    spans = kits + 2 if kits == thread_count else kits
    return Room(min(spans, (left - kits * state) // span_size), kits, tuned_for, kits * state)


def _counted_state(compression_level: int, tuned_for_bytes: int) -> int:
    return max(0, compression_state_bytes(compression_level, tuned_for_bytes) - STATE_BYTES_UNCOUNTED)
