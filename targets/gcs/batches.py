"""Many deletions in one request: the body of a batch, and its answer. Pure.

https://cloud.google.com/storage/docs/batch
"""

from __future__ import annotations

import re
from collections.abc import Sequence

BATCH_COUNT_MAX = 100  # The service's limit.

_BOUNDARY = re.compile(r'multipart/mixed;.*\bboundary="?([^";]+)"?')
_PART = re.compile(  # Headers of the part; the answer in it: status line, headers, body.
    rb"(?P<told>.*?)\r?\n\r?\n\s*HTTP/[\d.]+ (?P<status>\d{3})[^\n]*\n(?P<headers>.*?\n)?\r?\n(?P<body>.*)", re.DOTALL
)
_ID = re.compile(rb"^Content-ID:\s*<?response-(\d+)>?\s*$", re.IGNORECASE | re.MULTILINE)


def encode_deletions(paths: Sequence[str], boundary: str) -> bytes:
    """Return the body of a request that deletes the objects at ``paths``."""
    parts = [
        f"--{boundary}\r\nContent-Type: application/http\r\nContent-ID: <{number}>\r\n\r\n"
        f"DELETE {path} HTTP/1.1\r\n\r\n\r\n"
        for number, path in enumerate(paths)
    ]
    return "".join([*parts, f"--{boundary}--\r\n"]).encode()


def decode_answers(content_type: str, body: bytes, count: int) -> list[tuple[int, bytes]] | None:
    """Return (status, body) for each of ``count`` requests, or None if this does not answer all of them."""
    found = _BOUNDARY.match(content_type)
    if found is None:
        return None
    answers: dict[int, tuple[int, bytes]] = {}
    for place, text in enumerate(body.split(f"--{found[1]}".encode())[1:-1]):
        part = _PART.fullmatch(text)
        if part is None:
            return None
        # The service answers in any order and tells which; servers that say nothing keep the order.
        told = _ID.search(part["told"])
        answers[int(told[1]) if told else place] = (int(part["status"]), part["body"])
    return [answers[number] for number in range(count)] if answers.keys() == {*range(count)} else None
