"""Many objects deleted by one request. Its answer is always 200: what became of it stands in the body. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from targets.errors import Final, TargetError, Unavailable
from targets.swift.answers import meaning


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """``absent``: how many were not there. ``failures``: (name, status) of some that may be there still."""

    status: int
    absent: int
    failures: tuple[tuple[str, int], ...]

    @property
    def is_refused(self) -> bool:
        """Whether the token was not taken, by the request or by one of those that Swift makes of it."""
        return 401 in (self.status, *(status for _, status in self.failures))

    def error(self) -> TargetError | None:
        """Return what went wrong: what will go wrong again before what may pass."""
        failures = self.failures or ((("the request", self.status),) if self.status != 200 else ())
        errors = [
            meaning(status)(f"delete many: {name}: {status}, {len(self.failures)} failed") for name, status in failures
        ]
        return next((error for error in errors if isinstance(error, Final)), errors[0] if errors else None)


def request_body(path: str, names: Iterable[str]) -> bytes:
    """Return the body that names objects of the container at the quoted ``path``."""
    return "\n".join(f"{path}/{name}" for name in names).encode()  # No letter of a key needs a quote.


def outcome(text: bytes) -> Outcome | None:
    """Return what the body of an answer says; None if it is none, as of a cluster that cannot do this.

    Unavailable when it is cut off or garbled.
    """
    if not text.strip():
        return None
    try:
        told: Any = json.loads(text)
        return Outcome(
            status=_status(told["Response Status"]),
            absent=int(told["Number Not Found"]),
            failures=tuple((str(name), _status(status)) for name, status in told["Errors"]),
        )
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise Unavailable(f"delete many: the answer cannot be read: {type(error).__name__}") from error


def _status(text: str) -> int:
    return int(text.split(maxsplit=1)[0])
