"""Deleting objects: one, or up to a hundred in a request."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator, Sequence

from targets.errors import Final, TargetError
from targets.gcs.api import JsonApi
from targets.gcs.batches import BATCH_COUNT_MAX, decode_answers, encode_deletions
from targets.gcs.refusals import read_refusal, refused

_SUCCEEDED = (200, 204, 404)
_UNKNOWN = (404, 405, 501)  # What servers answer that have no batches.
_AT_ONCE_MAX = 8


class Deletions:
    """Deletes the objects below ``prefix``. ``connections_max``: single deletions at a time, at the most."""

    def __init__(self, api: JsonApi, prefix: str, *, connections_max: int) -> None:
        self._api = api
        self._prefix = prefix
        self._at_once_max = min(_AT_ONCE_MAX, connections_max)
        self._has_batches = True  # Until the server turns out to have none.

    async def one(self, key: str) -> None:
        if await self._delete(key) == 404:
            await self._api.check_bucket(f"delete {key}")

    async def many(self, keys: Sequence[str]) -> None:
        """Delete ``keys``; if some are refused, the others are gone, and the gravest refusal is raised."""
        outcomes: list[int | TargetError] = []
        for start in range(0, len(keys), BATCH_COUNT_MAX):
            some = keys[start : start + BATCH_COUNT_MAX]
            answered = await self._batch(some) if self._has_batches else None
            outcomes += await self._singly(some) if answered is None else answered
        if errors := [outcome for outcome in outcomes if isinstance(outcome, TargetError)]:
            # What is final stays so; to try the rest again would not make the whole succeed.
            error = next((error for error in errors if isinstance(error, Final)), errors[0])
            error.add_note(f"{len(errors)} of {len(keys)} keys were not deleted")
            raise error
        if 404 in outcomes:
            await self._api.check_bucket(f"delete {len(keys)} keys")

    async def _batch(self, keys: Sequence[str]) -> list[int | TargetError] | None:
        """Return what became of each key, or None if the server does not know batches."""
        boundary = f"batch_{secrets.token_hex(16)}"
        body = encode_deletions([self._api.path(self._prefix + key) for key in keys], boundary)
        headers = {"Content-Type": f"multipart/mixed; boundary={boundary}"}
        async with self._api.send("POST", "/batch/storage/v1", headers=headers, body=body) as response:
            if response.status not in _UNKNOWN:
                await self._api.ok(response, f"delete {len(keys)} keys")
                content_type = response.headers.get("Content-Type", "")
                answers = decode_answers(content_type, await response.read(), len(keys))
                if answers is not None:
                    return [_outcome(key, *answer) for key, answer in zip(keys, answers, strict=True)]
        self._has_batches = False
        return None

    async def _singly(self, keys: Sequence[str]) -> list[int | TargetError]:
        rest = iter(keys)
        outcomes: list[int | TargetError] = []
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self._at_once_max, len(keys))):
                group.create_task(self._work_off(rest, outcomes))
        return outcomes

    async def _work_off(self, keys: Iterator[str], outcomes: list[int | TargetError]) -> None:
        for key in keys:
            try:
                outcomes.append(await self._delete(key))
            except TargetError as error:
                outcomes.append(error)

    async def _delete(self, key: str) -> int:
        async with self._api.send("DELETE", self._api.path(self._prefix + key)) as response:
            if response.status not in _SUCCEEDED:
                await self._api.refuse(response, f"delete {key}")
            return response.status


def _outcome(key: str, status: int, body: bytes) -> int | TargetError:
    return status if status in _SUCCEEDED else refused(f"delete {key}", read_refusal(status, body))
