"""Object lock: nobody can delete an object before a date, which may be put off again and again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from targets.errors import ObjectNotFound, PermissionDenied
from targets.parallel import each
from targets.s3.checksums import md5
from targets.s3.documents import write_retention
from targets.s3.options import S3Options
from targets.s3.wire import Wire

_REQUESTS_AT_A_TIME = 8
_UNTIL = "x-amz-object-lock-retain-until-date"


class Locks:
    """Locks the objects of one target as its options say."""

    def __init__(self, wire: Wire, options: S3Options) -> None:
        self._wire = wire
        self._mode = options.object_lock_mode
        self._length = timedelta(days=options.object_lock_retain_days or 0)

    @property
    def lock_s(self) -> float | None:
        """How long; None when nothing is locked."""
        return None if self._mode is None else self._length.total_seconds()

    def headers(self) -> dict[str, str]:
        """Return what locks an object that is put now."""
        return {} if self._mode is None else {"x-amz-object-lock-mode": self._mode, _UNTIL: _text(self._until())}

    async def lock(self, keys: Sequence[str]) -> None:
        """Lock objects that are there for so long from now."""
        if self._mode is not None:
            await each(keys, self._lock, at_a_time=_REQUESTS_AT_A_TIME)

    async def locked(self, keys: Sequence[str]) -> set[str]:
        """Return those of some objects that cannot be deleted yet."""
        now, found = self._wire.clock.now(), set[str]()

        async def look(key: str) -> None:
            until = await self._locked_until(key)
            if until is not None and until > now:
                found.add(key)

        if self._mode is not None:
            await each(keys, look, at_a_time=_REQUESTS_AT_A_TIME)
        return found

    async def _lock(self, key: str) -> None:
        until = self._until()
        body = write_retention(self._mode or "", _text(until))
        url = self._wire.urls.object(key, {"retention": ""})
        try:
            await self._wire.converse(f"lock {key}", "PUT", url, headers={"content-md5": md5(body)}, body=body)
        except ObjectNotFound:
            return
        except PermissionDenied:
            before = await self._locked_until(key)
            if before is None or before < until:
                raise  # Else it is locked for longer, which no store lets anybody shorten.

    async def _locked_until(self, key: str) -> datetime | None:
        try:
            async with self._wire.ask(f"head {key}", "HEAD", self._wire.urls.object(key)) as answer:
                return _date(answer.headers.get(_UNTIL))
        except ObjectNotFound:
            return None

    def _until(self) -> datetime:
        return self._wire.clock.now() + self._length


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _date(text: str | None) -> datetime | None:
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
