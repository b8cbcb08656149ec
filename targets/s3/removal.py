"""Removing objects, many at once; where objects are locked, all their versions instead of hiding them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence

from targets.errors import Final, ObjectNotFound, Unsupported
from targets.parallel import each
from targets.s3.checksums import md5
from targets.s3.documents import Listed, read_delete, read_versions, write_delete
from targets.s3.errors import error_of
from targets.s3.wire import Wire

_BATCH_COUNT = 1000  # More are refused.
_REQUESTS_AT_A_TIME = 8
_NAMED_COUNT = 3


class Removal:
    """``versions``: the bucket keeps versions, and a plain delete would hide an object that is locked.

    A delete of the version is refused instead, and frees its space when the lock has run out.
    """

    def __init__(self, wire: Wire, prefix: str, *, versions: bool) -> None:
        self._wire = wire
        self._prefix = prefix
        self._versions = versions
        self._has_batches = True

    async def remove(self, key: str) -> None:
        """Remove one object, or nothing if there is none."""
        if not self._versions:
            await self._remove(Listed(self._prefix + key))
            return
        async for listed in self._versions_of(key):
            await self._remove(listed)

    async def remove_many(self, keys: Iterable[str]) -> None:
        """Remove objects in batches. The error of the first that is left names some of them."""
        objects = [Listed(self._prefix + key) for key in dict.fromkeys(keys)]
        if self._versions:
            objects = await self._all_versions(objects)
        for start in range(0, len(objects), _BATCH_COUNT):
            await self._remove_batch(objects[start : start + _BATCH_COUNT])

    async def _remove_batch(self, objects: Sequence[Listed]) -> None:
        if self._has_batches:
            try:
                await self._post_batch(objects)
                return
            except Unsupported:
                self._has_batches = False
        await each(objects, self._remove, at_a_time=_REQUESTS_AT_A_TIME)

    async def _post_batch(self, objects: Sequence[Listed]) -> None:
        body = write_delete(objects)
        doing = f"delete {len(objects)} objects"
        url = self._wire.urls.bucket({"delete": ""})
        text = await self._wire.converse(doing, "POST", url, headers={"content-md5": md5(body)}, body=body)
        left = [(name, refusal) for name, refusal in read_delete(text) if refusal.code != "NoSuchKey"]
        if not left:
            return
        named = ", ".join(f"{name.removeprefix(self._prefix)}: {refusal.code}" for name, refusal in left[:_NAMED_COUNT])
        errors = [error_of(f"{doing}: {len(left)} are left: {named}", refusal) for _, refusal in left]
        # One that will fail again decides: it is no use to try all of them again.
        raise next((error for error in errors if isinstance(error, Final)), errors[0])

    async def _remove(self, listed: Listed) -> None:
        key = listed.name.removeprefix(self._prefix)
        query = None if listed.version is None else {"versionId": listed.version}
        try:
            async with self._wire.ask(
                f"delete {key}", "DELETE", self._wire.urls.object(key, query), accepted=(200, 204)
            ) as answer:
                await answer.read()
        except ObjectNotFound:
            return

    async def _all_versions(self, objects: Sequence[Listed]) -> list[Listed]:
        found: list[Listed] = []

        async def find(listed: Listed) -> None:
            found.extend([one async for one in self._versions_of(listed.name.removeprefix(self._prefix))])

        await each(objects, find, at_a_time=_REQUESTS_AT_A_TIME)
        return found

    async def _versions_of(self, key: str) -> AsyncIterator[Listed]:
        """Yield the versions of ``key``, the oldest first: a refusal leaves what readers see."""
        name = self._prefix + key
        query: dict[str, str] | None = {}
        versions: list[Listed] = []
        while query is not None:
            asked = {"versions": "", "prefix": name, "encoding-type": "url"} | query
            page = read_versions(
                await self._wire.converse(f"list versions of {key}", "GET", self._wire.urls.bucket(asked))
            )
            ours = [listed for listed in page.objects if listed.name == name]
            versions += ours
            # The name itself comes before all that begin with it.
            query = page.next if len(ours) == len(page.objects) else None
        for listed in reversed(versions):
            yield listed
