"""Addresses of NBD exports, and what of them the operator allows."""

from __future__ import annotations

import ssl
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from chunker.errors import InvalidAddress, SourceMisconfigured, SourceUnreadable
from chunker.sources.address import Address
from chunker.sources.base import Found, Source
from chunker.sources.nbd.client import Effort
from chunker.sources.nbd.failures import ConnectionLost, Refused
from chunker.sources.nbd.handshake import list_exports
from chunker.sources.nbd.place import DEFAULT_PORT, Place
from chunker.sources.nbd.source import NbdSource
from chunker.sources.nbd.stream import Stream
from chunker.sources.options import read_options
from chunker.sources.sockets import check_socket

_LIST_TIMEOUT_S = 5.0  # Somebody waits for the list, and a server that answers at all does so at once.


@dataclass(frozen=True, slots=True, kw_only=True)
class NbdOptions:
    """``[sources.nbd]``.

    ``sockets``: Unix sockets, or directories of them; ``hosts``: ``host``, or ``host:port`` for one port only.
    The files are those of TLS: who is trusted (the system's authorities when it is not there), and who we are.
    """

    sockets: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    connections_max: int = 4
    requests_max: int = 8
    timeout_s: float = 60.0
    tls_ca_file: str | None = None
    tls_certificate_file: str | None = None
    tls_key_file: str | None = None


class NbdKind:
    """``nbd://HOST[:PORT]/EXPORT``, ``nbd+unix:///EXPORT?socket=PATH``; ``nbds`` in place of ``nbd`` demands TLS."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = read_options("nbd", NbdOptions, options)
        for name, least, most in (("connections_max", 1, 64), ("requests_max", 1, 64), ("timeout_s", 0.1, 3600)):
            if not least <= getattr(self._options, name) <= most:
                raise SourceMisconfigured(f"option {name}: expected a number from {least} to {most}")
        self._tls = _tls_context(self._options)

    def check(self, address: Address) -> None:
        place = place_of(address)
        if place.socket_path is not None:
            check_socket("socket", place.socket_path, self._options.sockets, key="sources.nbd.sockets")
        elif not {place.host, f"{place.host}:{place.port}"} & set(self._options.hosts):
            allowed = ", ".join(self._options.hosts) or "none"
            raise InvalidAddress(f"expected a host that is allowed by sources.nbd.hosts: {allowed}")

    def open(self, address: Address, *, allow_live: bool, direct_io: bool) -> Source:
        options, place = self._options, place_of(address)
        effort = Effort(
            connections_max=options.connections_max, requests_max=options.requests_max, timeout_s=options.timeout_s
        )
        return NbdSource(place, tls=self._tls if place.is_tls else None, effort=effort)

    def places(self) -> Sequence[str]:
        return (*self._options.sockets, *self._options.hosts)

    def discover(self, place: str) -> Iterator[Found]:
        """Yield the exports of a host, of the server at a socket, or of the servers in a directory that answer."""
        if not place.startswith("/"):
            address = Address.parse(f"nbd://{place}")
            yield from self._exports(Place(host=address.host, port=address.port or DEFAULT_PORT))
        elif not Path(place).is_dir():
            yield from self._exports(Place(socket_path=place))
        else:
            for path in sorted(Path(place).rglob("*")):
                if _is_socket(path):
                    with suppress(SourceUnreadable):  # Where a server has ended its socket stays.
                        yield from self._exports(Place(socket_path=str(path)))

    def _exports(self, place: Place) -> Iterator[Found]:
        try:
            try:
                yield from self._listed(place)
            except Refused:  # As those do that demand TLS.
                yield from self._listed(replace(place, is_tls=True))
        except (ConnectionLost, Refused) as error:
            raise SourceUnreadable(f"the exports of {place} cannot be listed: {error}") from error

    def _listed(self, place: Place) -> Iterator[Found]:
        with closing(Stream(place.dial(min(self._options.timeout_s, _LIST_TIMEOUT_S)))) as stream:
            for export, size_bytes in list_exports(stream, place, self._tls):
                yield Found(str(_address_of(replace(place, export=export))), size_bytes)


def _is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        return False


def _address_of(place: Place) -> Address:
    scheme, path = ("nbds" if place.is_tls else "nbd"), f"/{place.export}"
    if place.socket_path is None:
        return Address(scheme=scheme, host=place.host, port=place.port, path=path)
    return Address(scheme=f"{scheme}+unix", path=path, options=MappingProxyType({"socket": place.socket_path}))


def place_of(address: Address) -> Place:
    """Return where an address leads. InvalidAddress."""
    is_tls, export = address.scheme.startswith("nbds"), address.path.removeprefix("/")
    if len(export.encode()) > 4096:
        raise InvalidAddress("expected an export name of at most 4096 bytes")
    if not address.scheme.endswith("+unix"):
        address.only_options()
        if not address.host or address.port == 0:
            raise InvalidAddress(f"expected {address.scheme}://HOST:PORT/EXPORT")
        return Place(export=export, host=address.host, port=address.port or DEFAULT_PORT, is_tls=is_tls)
    address.only_options("socket")
    if "socket" not in address.options or address.host or address.port is not None:
        raise InvalidAddress(f"expected {address.scheme}:///EXPORT?socket=PATH")
    return Place(export=export, socket_path=address.options["socket"], is_tls=is_tls)


def _tls_context(options: NbdOptions) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=options.tls_ca_file)
    except OSError as error:
        raise SourceMisconfigured(f"option tls_ca_file: cannot be used: {_reason(error)}") from error
    if options.tls_key_file is not None and options.tls_certificate_file is None:
        raise SourceMisconfigured("option tls_certificate_file: missing; tls_key_file is the key of one")
    if options.tls_certificate_file is not None:
        try:
            context.load_cert_chain(options.tls_certificate_file, options.tls_key_file, password=_refuse_password)
        except (OSError, ValueError) as error:
            raise SourceMisconfigured(f"option tls_certificate_file: cannot be used: {_reason(error)}") from error
    return context


def _refuse_password() -> str:
    raise ValueError("the key needs a password")


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, ssl.SSLError):
        return "it is no file of certificates or keys in PEM that fit each other"
    return (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)
