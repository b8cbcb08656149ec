"""What a value of the configuration file may be: each kind knows how to read it and what it expects."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

_SECRET_PARAMETER = re.compile(r"password|passwd|secret|token|signature|credential", re.IGNORECASE)
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_ADDRESS = re.compile(r"\[(?P<ipv6>[0-9a-fA-F:.]+)\]:(?P<port6>\d{1,5})|(?P<host>[^\s:/\[\]]+):(?P<port>\d{1,5})")


@dataclass(frozen=True, slots=True)
class Kind:
    """``parse`` returns the value or raises ValueError; ``expected`` completes "expected ..." for people."""

    expected: str
    parse: Callable[[Any], Any]
    show: Callable[[Any], str] = repr


@dataclass(frozen=True, slots=True)
class Address:
    """Where the API listens."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it; a name other than localhost is taken as reachable."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def integer(minimum: int, maximum: int) -> Kind:
    """Return the kind of whole numbers from ``minimum`` to ``maximum``."""

    def parse(value: Any) -> int:
        # A bool is an int to Python, never to the operator.
        if type(value) is not int or not minimum <= value <= maximum:
            raise ValueError
        return value

    return Kind(f"an integer from {minimum} to {maximum}", parse)


def _parse_integer(value: Any) -> int:
    if type(value) is not int:
        raise ValueError
    return value


def seconds(minimum: float, maximum: float) -> Kind:
    """Return the kind of durations from ``minimum`` to ``maximum`` seconds."""

    def parse(value: Any) -> float:
        # NaN fails the comparison too.
        if type(value) not in (int, float) or not minimum <= value <= maximum:
            raise ValueError
        return float(value)

    return Kind(f"a number of seconds from {minimum:g} to {maximum:g}", parse)


def share() -> Kind:
    """Return the kind of parts of a whole, from 0 to less than 1."""

    def parse(value: Any) -> float:
        if type(value) not in (int, float) or not 0 <= value < 1:
            raise ValueError
        return float(value)

    return Kind("a number from 0 to less than 1", parse)


def _parse_path(value: Any) -> Path:
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value or ".." in Path(value).parts:
        raise ValueError
    return Path(value)


def _parse_optional_path(value: Any) -> Path | None:
    return None if value == "" else _parse_path(value)


def _parse_paths(value: Any) -> tuple[Path, ...]:
    if not isinstance(value, list):
        raise ValueError  # noqa: TRY004 - every kind answers a bad value with ValueError
    return tuple(_parse_path(item) for item in value)


def _parse_address(value: Any) -> Address:
    match = _ADDRESS.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError
    port = int(match["port"] or match["port6"])
    if port > 65535:
        raise ValueError
    return Address(str(ipaddress.IPv6Address(match["ipv6"])) if match["ipv6"] else match["host"], port)


def _has_secret(url: str) -> bool:
    parts = urlsplit(url)
    return parts.password is not None or any(
        _SECRET_PARAMETER.search(name) for name, _ in parse_qsl(parts.query, keep_blank_values=True)
    )


def _parse_url(value: Any) -> str:
    if not isinstance(value, str) or not re.match(r"[a-z][a-z0-9+.-]*:", value) or _has_secret(value):
        raise ValueError
    return value


def _show_url(value: Any) -> str:
    # Whatever was refused may hold a secret in any part, so only the scheme and the host are repeated.
    if not isinstance(value, str):
        return f"a value of type {type(value).__name__}"
    scheme, separator, rest = value.partition("://")
    if not separator:
        return repr("***")
    host = rest.partition("/")[0].partition("?")[0].rpartition("@")[2]
    return repr(f"{scheme}://***@{host}/***" if "@" in rest else f"{scheme}://{host}/***")


def _parse_table(value: Any) -> MappingProxyType[str, Any]:
    if not isinstance(value, dict):
        raise ValueError  # noqa: TRY004 - every kind answers a bad value with ValueError
    return MappingProxyType(value)


def _show_nothing(value: Any) -> str:
    return f"a value of type {type(value).__name__}"  # It may be a secret.


def _parse_flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError  # noqa: TRY004 - every kind answers a bad value with ValueError
    return value


def _parse_name(value: Any) -> str:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise ValueError
    return value


def _parse_optional_name(value: Any) -> str | None:
    return None if value == "" else _parse_name(value)


def _parse_names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError  # noqa: TRY004 - every kind answers a bad value with ValueError
    return tuple(_parse_name(item) for item in value)


def _parse_strategy(value: Any) -> str:
    if value not in ("", "none", "noauth", "tokens", "keystone"):
        raise ValueError
    return str(value)


def _parse_text(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 255 or not value.isprintable():
        raise ValueError
    return value


def _parse_optional_url(value: Any) -> str | None:
    if value == "":
        return None
    if not re.match("https?://", _parse_url(value)):
        raise ValueError
    return str(value)


FLAG = Kind("true or false", _parse_flag)
INTEGER = Kind("an integer", _parse_integer)
A_NAME = Kind("a name", _parse_name)
OPTIONAL_NAME = Kind('a name, or "" for none', _parse_optional_name)
NAMES = Kind("a list of names", _parse_names)
OPTIONS = Kind("a section of options", _parse_table, _show_nothing)
ABSOLUTE_PATH = Kind('an absolute path without ".."', _parse_path)
OPTIONAL_PATH = Kind('an absolute path without "..", or "" for none', _parse_optional_path)
PATHS = Kind('a list of absolute paths without ".."', _parse_paths)
ADDRESS = Kind('"host:port" or "[ipv6]:port" with a port from 0 to 65535', _parse_address)
STRATEGY = Kind('"none", "noauth", "tokens", "keystone", or "" for what daemon.token_file says', _parse_strategy)
TEXT = Kind("a text of 1 to 255 characters", _parse_text)
OPTIONAL_URL = Kind('an http url without any secret in it, or "" for none', _parse_optional_url, _show_url)
URL = Kind("a url such as file:///srv/backups, without any secret in it", _parse_url, _show_url)
