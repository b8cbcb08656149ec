"""Attachments: who uses a volume. Nothing is connected here; a hypervisor does that."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid4

from backupd.access import Access, Caller
from backupd.block_storage import Attachment, BlockVolume, Listing, VolumeStatus
from backupd.catalog.block_storage.store import BlockStorageCatalog
from backupd.clock import Clock
from backupd.errors import InvalidRequest, WrongStatus

_FREE = (VolumeStatus.AVAILABLE, VolumeStatus.RESERVED, VolumeStatus.ATTACHING)
_ATTACHED = (
    VolumeStatus.IN_USE,
    VolumeStatus.DETACHING,
    VolumeStatus.RESERVED,
    VolumeStatus.ATTACHING,
    VolumeStatus.BACKING_UP,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAttachment:
    """What a volume is attached to."""

    instance_id: str | None = None
    host: str | None = None
    mountpoint: str | None = None
    mode: str = "rw"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachments:
    """Writes down who uses a volume."""

    catalog: BlockStorageCatalog
    clock: Clock
    access: Access

    async def attach(
        self, caller: Caller, volume_id: str, new: NewAttachment, *, is_reserved: bool = False
    ) -> Attachment:
        """Return the attachment, of a volume that is in use from now on, or reserved. InvalidRequest, NotFound."""
        self.access.require(caller, "volume:attach")
        volume = await self.catalog.volume(caller.scope, volume_id)
        now = self.clock.now()
        value = Attachment(
            id=str(uuid4()),
            volume_id=volume.id,
            project=volume.project,
            instance_id=new.instance_id,
            host=new.host,
            mountpoint=new.mountpoint,
            mode=new.mode,
            attached_at=None if is_reserved else now,
            created_at=now,
        )
        try:
            await self.catalog.attach(value, _FREE)
        except WrongStatus as error:
            raise InvalidRequest(
                f"Invalid volume: Volume {volume.id} status must be available, reserved or attaching to be attached, "
                f"but the current status is {error.status}."
            ) from error
        return value

    async def detach(self, caller: Caller, volume_id: str, attachment_id: str | None) -> None:
        """Remove an attachment of a volume, or all. InvalidRequest, NotFound."""
        self.access.require(caller, "volume:attach")
        volume = await self.catalog.volume(caller.scope, volume_id)
        if attachment_id is not None and attachment_id not in [one.id for one in volume.attachments]:
            raise InvalidRequest(f"Invalid volume: Volume {volume.id} has no attachment {attachment_id}.")
        await self._detach(volume.id, attachment_id)

    async def complete(self, caller: Caller, attachment_id: str, **values: str | None) -> Attachment:
        """Make a reserved volume one that is in use. NotFound."""
        self.access.require(caller, "volume:attach")
        found = await self.one(caller, attachment_id)
        return await self.catalog.complete_attachment(found.id, **values)

    async def one(self, caller: Caller, attachment_id: str) -> Attachment:
        """NotFound."""
        self.access.require(caller, "volume:get")
        return await self.catalog.attachment(caller.scope, attachment_id)

    async def all(self, caller: Caller, listing: Listing, *, all_projects: bool) -> tuple[list[Attachment], int | None]:
        """Return a page of the caller's project, or of everybody's to an administrator who asks for them."""
        self.access.require(caller, "volume:get_all")
        return await self.catalog.attachments(None if all_projects and caller.is_admin else caller.project, listing)

    async def delete(self, caller: Caller, attachment_id: str) -> BlockVolume:
        """Remove one and return its volume. NotFound, InvalidRequest."""
        self.access.require(caller, "volume:attach")
        found = await self.one(caller, attachment_id)
        await self._detach(found.volume_id, found.id)
        return await self.catalog.volume(None, found.volume_id)

    async def _detach(self, volume_id: str, attachment_id: str | None) -> None:
        try:
            await self.catalog.detach(volume_id, attachment_id, _ATTACHED)
        except WrongStatus as error:
            raise InvalidRequest(
                "Invalid volume: Unable to detach volume. Volume status must be 'in-use' to detach, "
                f"but the current status is {error.status}."
            ) from error

    async def mark(
        self, caller: Caller, volume_id: str, *, expected: tuple[VolumeStatus, ...], status: VolumeStatus
    ) -> None:
        """Take one step of attaching or detaching: reserve, begin, roll back. InvalidRequest, NotFound."""
        self.access.require(caller, "volume:attach")
        volume = await self.catalog.volume(caller.scope, volume_id)
        try:
            await self.catalog.change_volume(volume.id, expected=expected, status=status)
        except WrongStatus as error:
            raise InvalidRequest(
                f"Invalid volume: Volume {volume.id} status must be {' or '.join(expected)}, "
                f"but current status is: {error.status}."
            ) from error
