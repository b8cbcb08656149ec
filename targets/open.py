"""Where a target is -> the target, without wrappers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints
from urllib.parse import SplitResult, unquote, urlsplit

from targets.base import Target
from targets.errors import Misconfigured

Options = TypeVar("Options")


def open_target(url: str, **options: Any) -> Target:
    """Return the target at ``url``. Misconfigured names the scheme, option or part of the url that is wrong.

    Blocks for a moment. Credentials never stand in a url, which ends up in logs and listings.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise Misconfigured("target url: it cannot be parsed") from None
    driver = _DRIVERS.get(parts.scheme)
    if driver is None:
        expected = ", ".join(sorted(_DRIVERS))
        raise Misconfigured(f"target url: unknown scheme {parts.scheme!r}, expected one of {expected}")
    if "@" in parts.netloc:
        raise Misconfigured(f"target url {redact(url)}: expected no user and no password in it")
    if parts.query or parts.fragment:
        raise Misconfigured(f"target url {redact(url)}: expected no query and no fragment in it")
    return driver(parts, options)


def redact(url: str) -> str:
    """Return ``url`` for people to read, without any part that may hold a secret; never fails."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "***"
    host = parts.netloc.rpartition("@")
    if not host[1] and "@" in parts.path.partition("/")[0]:
        return f"{parts.scheme}:***"  # Credentials without the slashes before them.
    return parts._replace(
        netloc=f"***@{host[2]}" if host[1] else parts.netloc,
        query="***" if parts.query else "",
        fragment="***" if parts.fragment else "",
    ).geturl()


def _open_memory(url: SplitResult, options: Mapping[str, Any]) -> Target:
    from targets.memory import MemoryOptions, MemoryTarget

    if url.netloc or url.path:
        raise Misconfigured(f"target url {redact(url.geturl())}: expected memory: and nothing behind it")
    _read_options("memory", MemoryOptions, options)
    return MemoryTarget()


def _open_local(url: SplitResult, options: Mapping[str, Any]) -> Target:
    from targets.local import LocalOptions, LocalTarget

    path = unquote(url.path)
    if url.netloc or not path.startswith("/") or "\0" in path:
        raise Misconfigured(f"target url {redact(url.geturl())}: expected file:// and an absolute path")
    return LocalTarget(Path(path), _read_options("file", LocalOptions, options))


_DRIVERS: dict[str, Callable[[SplitResult, Mapping[str, Any]], Target]] = {
    "memory": _open_memory,
    "file": _open_local,
}


def _read_options(scheme: str, kind: type[Options], given: Mapping[str, Any]) -> Options:
    types = get_type_hints(kind)
    known = {field.name: types[field.name] for field in fields(kind)}  # type: ignore[arg-type] # a dataclass
    for name, value in given.items():
        if name not in known:
            expected = ", ".join(sorted(known)) or "none"
            raise Misconfigured(f"option {name}: unknown for a {scheme} target, expected one of: {expected}")
        if type(value) is not known[name]:
            raise Misconfigured(f"option {name}: {type(value).__name__}, expected {known[name].__name__}")
    return kind(**given)
