"""Messages: what went wrong after a request had been accepted."""

from __future__ import annotations

from dataclasses import dataclass, replace

from backupd.access import Access, Caller
from backupd.application.block_storage.failures import user_message
from backupd.block_storage import Listing, Message
from backupd.catalog.block_storage.store import BlockStorageCatalog


@dataclass(frozen=True, slots=True, kw_only=True)
class Messages:
    """Shows and removes messages."""

    catalog: BlockStorageCatalog
    access: Access

    async def all(self, caller: Caller, listing: Listing) -> tuple[list[Message], int | None]:
        """Return a page of those of the caller's project."""
        self.access.require(caller, "message:get_all")
        found, count = await self.catalog.messages(caller.project, listing)
        return [_told(one) for one in found], count

    async def one(self, caller: Caller, message_id: str) -> Message:
        """NotFound."""
        self.access.require(caller, "message:get")
        return _told(await self.catalog.message(caller.scope, message_id))

    async def delete(self, caller: Caller, message_id: str) -> None:
        """NotFound."""
        self.access.require(caller, "message:delete")
        found = await self.catalog.message(caller.scope, message_id)
        await self.catalog.remove_message(found.id)


def _told(message: Message) -> Message:
    return replace(message, text=user_message(message))
