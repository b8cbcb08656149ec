"""Every error that this package raises.

ChunkerError
├── SourceError             a volume cannot be read as asked
│   ├── InvalidAddress      no address of its kind, or not one that is allowed; the message says what was expected
│   ├── SourceMisconfigured  an option of a kind of source is wrong; the message names it
│   ├── SourceMissing       nothing is there, or it is neither a regular file nor a block device with a medium
│   ├── SourceUnreadable    the medium or the permissions refuse; the message names the offset
│   ├── SourceBusy          somebody else is writing to it
│   ├── SourceChanged       it is no longer what was opened
│   └── SourceTooShort      it ended before its size
├── DestinationError        a volume cannot be written as asked
│   ├── DestinationMissing  there is no such directory or device
│   ├── DestinationExists   the name is taken, and what has it is not to be replaced
│   ├── DestinationTooSmall the device has fewer bytes than the volume
│   ├── DestinationBusy     somebody else uses the device or file
│   ├── DestinationFull     no space is left
│   └── DestinationUnwritable  the medium or the permissions refuse
├── CorruptFrame            a stored chunk is not what was stored
├── CorruptPack             a pack or its footer is damaged
├── CorruptNode             a node of a volume tree is damaged
└── UnknownFormat           written by a version that this one cannot read
"""

from __future__ import annotations


class ChunkerError(Exception):
    """The root of all errors of this package; ``code`` is stable."""

    code = "chunker"


class SourceError(ChunkerError):
    """A volume cannot be read as asked."""

    code = "source.invalid"


class InvalidAddress(SourceError):
    """An address is none of its kind, or not one that is allowed; the message says what was expected."""

    code = "source.address"


class SourceMisconfigured(SourceError):
    """An option of a kind of source is wrong; the message names it, and never repeats its value."""

    code = "source.misconfigured"


class SourceMissing(SourceError):
    """Nothing is at the path, or it is neither a regular file nor a block device with a medium."""

    code = "source.missing"


class SourceUnreadable(SourceError):
    """The medium or the permissions refuse to be read."""

    code = "source.unreadable"


class SourceBusy(SourceError):
    """Somebody else is using the volume for writing."""

    code = "source.busy"


class SourceChanged(SourceError):
    """The volume is no longer the one that was opened, or no longer as it was."""

    code = "source.changed"


class SourceTooShort(SourceError):
    """The volume ended before its size."""

    code = "source.too_short"


class DestinationError(ChunkerError):
    """A volume cannot be written as asked."""

    code = "destination.invalid"


class DestinationMissing(DestinationError):
    """There is no such directory or device."""

    code = "destination.missing"


class DestinationExists(DestinationError):
    """The name is taken, and what has it is not to be replaced."""

    code = "destination.exists"


class DestinationTooSmall(DestinationError):
    """The device has fewer bytes than the volume that is to be written."""

    code = "destination.too_small"


class DestinationBusy(DestinationError):
    """Somebody else is using the device or file."""

    code = "destination.busy"


class DestinationFull(DestinationError):
    """No space is left."""

    code = "destination.full"


class DestinationUnwritable(DestinationError):
    """The medium or the permissions refuse to be written."""

    code = "destination.unwritable"


class CorruptFrame(ChunkerError):
    """A stored chunk is not what was stored."""

    code = "frame.corrupt"


class CorruptPack(ChunkerError):
    """A pack or its footer is damaged."""

    code = "pack.corrupt"


class CorruptNode(ChunkerError):
    """A node of a volume tree is damaged."""

    code = "node.corrupt"


class UnknownFormat(ChunkerError):
    """The bytes were written in a format that this version cannot read."""

    code = "format.unknown"
