"""Where a volume is: an address such as ``file:///srv/web-1.img`` or ``nbd://host:10809/export``. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from chunker.errors import InvalidAddress

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_CONTROL = re.compile(r"[\x00-\x20\x7f]")
# Kinds that have more than one scheme; of any other one the kind is what stands before "+".
_KIND_OF_SCHEME = {"nbds": "nbd", "nbds+unix": "nbd"}
_PATH_SAFE = "/@:,+"
_FORM = "an absolute path, or an address such as file:///PATH, nbd://HOST:PORT/EXPORT or rbd:POOL/IMAGE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A parsed address. ``path`` is plain text; ``options`` are what stands behind the "?".

    It holds no secret: users, passwords and keys are the operator's to configure.
    """

    scheme: str
    host: str = ""
    port: int | None = None
    path: str = ""
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def parse(cls, text: str) -> Address:
        """Return the address that ``text`` says; a path is taken as it is. InvalidAddress says what was expected."""
        if text.startswith("/"):
            return cls.of_path(text)
        if _CONTROL.search(text) or not _SCHEME.fullmatch(text.partition(":")[0]) or ":" not in text:
            raise InvalidAddress(f"expected {_FORM}")
        try:
            parts = urlsplit(text)
            host, port = parts.hostname or "", parts.port
            path, options = unquote(parts.path, errors="strict"), _options(parts)
        except ValueError as error:  # A port that is no number, a bracket too few, bytes that are no text.
            raise InvalidAddress(f"expected {_FORM}") from error
        if "\0" in path:
            raise InvalidAddress("expected a path without zero bytes")
        if "@" in parts.netloc or parts.fragment:
            raise InvalidAddress("expected no user, no password and no fragment in it")
        return cls(scheme=parts.scheme, host=host, port=port, path=path, options=options)

    @classmethod
    def of_path(cls, path: str) -> Address:
        """Return the address of a file or device."""
        return cls(scheme="file", path=path)

    @property
    def kind(self) -> str:
        """Which kind of source it is of."""
        return _KIND_OF_SCHEME.get(self.scheme) or self.scheme.partition("+")[0]

    def only_options(self, *known: str) -> None:
        """InvalidAddress when it has an option besides the ``known`` ones."""
        for name in self.options:
            if name not in known:
                expected = f"no option but {', '.join(known)}" if known else "no options"
                raise InvalidAddress(f"option {name[:50]}: unknown for {self.scheme}; expected {expected}")

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        authority = host if self.port is None else f"{host}:{self.port}"
        slashes = "//" if authority or self.path.startswith("/") else ""
        query = f"?{urlencode(self.options, safe=_PATH_SAFE)}" if self.options else ""
        return f"{self.scheme}:{slashes}{authority}{quote(self.path, safe=_PATH_SAFE)}{query}"


def redacted(text: str) -> str:
    """Return an address that somebody wrote, without any part that may hold a secret; never fails."""
    if text.startswith("/"):
        return text
    shown = re.sub(r"//[^/?#]*@", "//***@", text)
    return re.sub(r"[?#].*", lambda rest: f"{rest[0][0]}***", shown, flags=re.DOTALL)


def _options(parts: SplitResult) -> Mapping[str, str]:
    pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query), errors="strict")
    options = dict(pairs)
    if len(options) != len(pairs):
        raise InvalidAddress("expected each option once")
    if any(_CONTROL.search(value) for value in options.values()):
        raise InvalidAddress("expected options without spaces and control characters")
    return MappingProxyType(options)
