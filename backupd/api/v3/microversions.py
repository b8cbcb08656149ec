"""Which microversion a request asks for. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from backupd.errors import BackupdError, InvalidRequest

_NUMBER = re.compile(r"([1-9]\d*)\.([1-9]\d*|0)")
HEADER = "OpenStack-API-Version"
_SERVICE = "volume"


@dataclass(frozen=True, slots=True, order=True)
class Microversion:
    """``3.43`` is (3, 43)."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


LOWEST = Microversion(3, 0)
HIGHEST = Microversion(3, 71)


class VersionNotSupported(BackupdError):
    """The version is well formed, and not one that is served; ``asked`` is echoed."""

    code = "request.version"
    http_status = 406

    def __init__(self, asked: Microversion) -> None:
        super().__init__(f"Version {asked} is not supported by the API. Minimum is {LOWEST} and maximum is {HIGHEST}.")
        self.asked = asked


def negotiate(header: str | None) -> Microversion:
    """Return the version for a header. InvalidRequest when it is malformed; VersionNotSupported."""
    if header is None:
        return LOWEST
    item = next((one.split() for one in header.split(",") if _SERVICE in one), None)
    if item is None or len(item) != 2 or item[0] != _SERVICE:
        raise InvalidRequest(f"API Version header {header[:100]!r} has no item of the form 'volume MajorNum.MinorNum'.")
    if item[1] == "latest":
        return HIGHEST
    found = _NUMBER.fullmatch(item[1])
    if found is None or len(item[1]) > 20:
        raise InvalidRequest(
            f"API Version String {item[1][:100]} is of invalid format. Must be of format MajorNum.MinorNum."
        )
    asked = Microversion(int(found[1]), int(found[2]))
    if not LOWEST <= asked <= HIGHEST:
        raise VersionNotSupported(asked)
    return asked
