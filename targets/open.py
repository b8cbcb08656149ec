"""Where a target is -> the target, without wrappers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from targets.base import Target
from targets.errors import Misconfigured
from targets.options import read_options

ENTRY_POINTS = "backupd.targets"
Driver = Callable[[SplitResult, Mapping[str, Any]], Target]


def open_target(url: str, **options: Any) -> Target:
    """Return the target at ``url``. Misconfigured names the scheme, option or part of the url that is wrong.

    Drivers of other packages are found by the entry points of the group ``backupd.targets``: the name is the
    scheme, the object a function of the split url and the options. Blocks for a moment. Credentials never
    stand in a url, which ends up in logs and listings.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise Misconfigured("target url: it cannot be parsed") from None
    driver = _DRIVERS.get(parts.scheme) or _installed_driver(parts.scheme)
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
    return _redact(parts)


def _redact(parts: SplitResult) -> str:
    host = parts.netloc.rpartition("@")
    if not host[1] and "@" in parts.path.partition("/")[0]:
        return f"{parts.scheme}:***"  # Credentials without the slashes before them.
    shown = parts._replace(
        netloc=f"***@{host[2]}" if host[1] else parts.netloc,
        query="***" if parts.query else "",
        fragment="***" if parts.fragment else "",
    ).geturl()
    if parts.netloc or parts.path.startswith("/"):
        return shown
    return shown.replace(f"{parts.scheme}:///", f"{parts.scheme}:", 1)  # What geturl() makes of file:relative.


def _installed_driver(scheme: str) -> Driver:
    installed: dict[str, EntryPoint] = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if scheme not in installed:
        expected = ", ".join(sorted({*_DRIVERS, *installed}))
        raise Misconfigured(f"target url: unknown scheme {scheme!r}, expected one of {expected}")
    try:
        driver: Driver = installed[scheme].load()
    except Exception as error:
        point = installed[scheme]
        raise Misconfigured(f"target url: the driver of {scheme} ({point.value}) cannot be loaded: {error}") from error
    return driver


def _missing(scheme: str, error: ImportError, *, extra: str) -> Misconfigured:
    return Misconfigured(f"target url: {scheme} needs {error.name}: pip install 'backupd[{extra}]'")


def _open_memory(url: SplitResult, options: Mapping[str, Any]) -> Target:
    from targets.memory import MemoryOptions, MemoryTarget

    if url.netloc or url.path:
        raise Misconfigured(f"target url {_redact(url)}: expected memory: and nothing behind it")
    read_options("memory", MemoryOptions, options)
    return MemoryTarget()


def _open_local(url: SplitResult, options: Mapping[str, Any]) -> Target:
    from targets.local import LocalOptions, LocalTarget

    path = unquote(url.path)
    if url.netloc or not path.startswith("/") or "\0" in path:
        raise Misconfigured(f"target url {_redact(url)}: expected file:// and an absolute path")
    return LocalTarget(Path(path), read_options("file", LocalOptions, options))


def _open_gcs(url: SplitResult, options: Mapping[str, Any]) -> Target:
    try:
        from targets.gcs import GcsOptions, GcsTarget
        from targets.gcs.credentials import credentials_of
    except ImportError as error:
        raise _missing("gs", error, extra="gcs") from error

    read = read_options("gs", GcsOptions, options)
    prefix = unquote(url.path).strip("/")
    return GcsTarget(url.netloc, f"{prefix}/" if prefix else "", read, credentials_of(read))


def _open_s3(url: SplitResult, options: Mapping[str, Any]) -> Target:
    try:
        from targets.s3 import Place, S3Options, S3Target
    except ImportError as error:
        raise _missing("s3", error, extra="s3") from error

    return S3Target(Place.of(url.netloc, url.path), read_options("s3", S3Options, options))


def _open_rados(url: SplitResult, options: Mapping[str, Any]) -> Target:
    from targets.rados import Namespace, RadosOptions, RadosTarget

    pool, namespace = unquote(url.netloc), unquote(url.path.removeprefix("/"))
    if not pool or "/" in namespace or "\0" in pool + namespace:
        raise Misconfigured(f"target url {_redact(url)}: expected rados://POOL or rados://POOL/NAMESPACE")
    return RadosTarget(Namespace(pool, namespace), read_options("rados", RadosOptions, options))


def _open_swift(url: SplitResult, options: Mapping[str, Any]) -> Target:
    from targets.swift import Place, SwiftOptions, SwiftTarget

    return SwiftTarget(Place.of(url), read_options("swift", SwiftOptions, options))


_DRIVERS: dict[str, Driver] = {
    "memory": _open_memory,
    "file": _open_local,
    "s3": _open_s3,
    "rados": _open_rados,
    "swift": _open_swift,
    "gs": _open_gcs,
}
