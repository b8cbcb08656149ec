"""Where a volume is -> its source: the one registry of the kinds of sources."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from chunker.errors import InvalidAddress, SourceMisconfigured
from chunker.extents import Extent
from chunker.sources.address import Address
from chunker.sources.base import Found, PointInTime, Source
from chunker.sources.extents import GivenExtents
from chunker.sources.file import FileSource

ENTRY_POINTS = "backupd.sources"


class Kind(Protocol):
    """One kind of source, made with the options that the operator gave it. Its methods may block."""

    def check(self, address: Address) -> None:
        """InvalidAddress says what was expected, unless it is an address of this kind that the operator allows."""

    def open(self, address: Address, *, allow_live: bool, direct_io: bool) -> Source:
        """Return the source at an address that ``check`` lets pass. SourceError."""


@runtime_checkable
class GroupKind(Kind, Protocol):
    """A kind that can take points in time of several volumes at one and the same instant."""

    def check_group(self, addresses: Sequence[Address]) -> None:
        """InvalidAddress unless that can be done of these addresses, each of which ``check`` lets pass."""

    def open_group(self, addresses: Sequence[Address]) -> Sequence[PointInTime]:
        """Take a point in time of each, all of one instant, or of none. As ``Source.open``."""


@runtime_checkable
class ListableKind(Kind, Protocol):
    """A kind that can tell which volumes there are."""

    def places(self) -> Sequence[str]:
        """Return what the operator allows; each of these is listed by itself."""

    def discover(self, place: str) -> Iterator[Found]:
        """Yield what is at a place now. SourceError when it cannot be listed."""


MakeKind = Callable[[Mapping[str, Any]], Kind]
"""Makes a kind of the options in its section of the configuration. SourceMisconfigured."""


class Sources:
    """The kinds of sources that the operator allows: files always, any other one that has its options here.

    Kinds of other packages are found by the entry points of the group ``backupd.sources``: the name is the
    kind, the object a ``MakeKind``. What stands before "+" in the scheme of an address is its kind.
    """

    def __init__(self, options: Mapping[str, Mapping[str, Any]]) -> None:
        """Make the kinds. SourceMisconfigured names kind and option."""
        self._kinds: dict[str, Kind] = {"file": _FileKind()}
        for name, own in options.items():
            try:
                self._kinds[name] = _maker(name)(own)
            except SourceMisconfigured as error:
                raise SourceMisconfigured(f"{name}: {error}") from error

    def check(self, source: str) -> None:
        """InvalidAddress unless ``source`` is an address of a kind that is allowed, and fine for that. Blocks."""
        address = Address.parse(source)
        self._kind(address).check(address)

    def open(
        self,
        source: str,
        *,
        allow_live: bool = False,
        direct_io: bool = False,
        changed_extents: Iterable[Extent] | None = None,
    ) -> Source:
        """Return the source at an address or absolute path, with its changes if given. SourceError. Blocks."""
        address = Address.parse(source)
        kind = self._kind(address)
        kind.check(address)
        opened = kind.open(address, allow_live=allow_live, direct_io=direct_io)
        return opened if changed_extents is None else GivenExtents(opened, changed_extents)

    def check_group(self, sources: Sequence[str]) -> None:
        """InvalidAddress unless points in time of all ``sources`` can be of one instant. Blocks."""
        addresses = [Address.parse(source) for source in sources]
        self._group_kind(addresses).check_group(addresses)

    def open_group(self, sources: Sequence[str]) -> Sequence[PointInTime]:
        """Take a point in time of each, all of one instant. InvalidAddress, SourceError. Blocks."""
        addresses = [Address.parse(source) for source in sources]
        for address in addresses:
            self._kind(address).check(address)
        return self._group_kind(addresses).open_group(addresses)

    def listings(self) -> Mapping[str, Callable[[], Iterator[Found]]]:
        """Return the places of the operator's that can be listed, by a name for people, and what lists each.

        Listing blocks, and yields what ``open`` takes. SourceError.
        """
        return {
            f"{name} {place}": partial(self._discover, kind, place)
            for name, kind in self._kinds.items()
            if isinstance(kind, ListableKind)
            for place in kind.places()
        }

    def _discover(self, kind: ListableKind, place: str) -> Iterator[Found]:
        for found in kind.discover(place):
            with suppress(InvalidAddress):  # A name that no address can have.
                self.check(found.source)
                yield found

    def _group_kind(self, addresses: Sequence[Address]) -> GroupKind:
        kinds = {address.kind for address in addresses}
        kind = self._kind(addresses[0])
        if len(kinds) != 1 or not isinstance(kind, GroupKind):
            able = [name for name, one in self._kinds.items() if isinstance(one, GroupKind)]
            known = ", ".join(sorted(kinds))
            expected = f"expected volumes of one of {', '.join(able) or 'none'}, which can be frozen at one instant"
            raise InvalidAddress(f"{expected}; these are of {known}")
        return kind

    def _kind(self, address: Address) -> Kind:
        if address.kind in self._kinds:
            return self._kinds[address.kind]
        allowed = ", ".join(sorted(self._kinds))
        if address.kind in _names():
            section = f"[sources.{address.kind}]"
            raise InvalidAddress(f"expected a kind that the operator allows: {allowed}; there is no section {section}")
        raise InvalidAddress(f"expected one of {allowed}; {address.scheme} is not known")


def open_source(
    location: str | Path,
    *,
    allow_live: bool = False,
    direct_io: bool = False,
    changed_extents: Iterable[Extent] | None = None,
) -> Source:
    """Return the source at an absolute path or ``file:`` URL, with its changes if given. SourceError."""
    return Sources({}).open(str(location), allow_live=allow_live, direct_io=direct_io, changed_extents=changed_extents)


class _FileKind:
    """Files and block devices; which of them may be read, the daemon checks."""

    def check(self, address: Address) -> None:
        address.only_options()
        if address.host or address.port is not None or not address.path.startswith("/") or "\0" in address.path:
            raise InvalidAddress("expected file:// and an absolute path")

    def open(self, address: Address, *, allow_live: bool, direct_io: bool) -> Source:
        return FileSource(address.path, allow_live=allow_live, direct_io=direct_io)


def _make_nbd(options: Mapping[str, Any]) -> Kind:
    from chunker.sources.nbd import NbdKind

    return NbdKind(options)


def _make_qemu(options: Mapping[str, Any]) -> Kind:
    from chunker.sources.qemu import QemuKind

    return QemuKind(options)


def _make_rbd(options: Mapping[str, Any]) -> Kind:
    try:
        from chunker.sources.rbd.kind import RbdKind
    except ImportError as error:
        hint = "HINT: install the distribution's python3-rbd, and use the Python that it is for"
        raise SourceMisconfigured(f"it cannot be used: {error}\n{hint}") from error

    return RbdKind(options)


def _make_reflink(options: Mapping[str, Any]) -> Kind:
    from chunker.sources.reflink.kind import ReflinkKind

    return ReflinkKind(options)


def _make_external(options: Mapping[str, Any]) -> Kind:
    from chunker.sources.external.kind import ExternalKind

    return ExternalKind(options)


_MAKERS: dict[str, MakeKind] = {
    "nbd": _make_nbd,
    "qemu": _make_qemu,
    "rbd": _make_rbd,
    "reflink": _make_reflink,
    "external": _make_external,
}


def _names() -> set[str]:
    return {*_MAKERS, *entry_points(group=ENTRY_POINTS).names}


def _maker(name: str) -> MakeKind:
    if name in _MAKERS:
        return _MAKERS[name]
    installed: dict[str, EntryPoint] = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if name not in installed:
        raise SourceMisconfigured(f"unknown kind, expected one of {', '.join(sorted(_names())) or 'none'}")
    try:
        maker: MakeKind = installed[name].load()
    except Exception as error:
        raise SourceMisconfigured(f"its driver ({installed[name].value}) cannot be loaded: {error}") from error
    return maker
