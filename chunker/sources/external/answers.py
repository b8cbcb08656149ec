"""What a command may answer, field by field. Pure. SourceUnreadable names field, value and what was expected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from chunker.errors import SourceBusy, SourceChanged, SourceError, SourceMissing, SourceUnreadable
from chunker.extents import Extent, merge

_TEXT_MAX = 4096
_ERRORS: dict[str, type[SourceError]] = {
    "missing": SourceMissing,
    "busy": SourceBusy,
    "changed": SourceChanged,
    "unreadable": SourceUnreadable,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedAnswer:
    """Where a point in time can be read, and what it is."""

    path: str
    identity: str
    token: str | None
    tells_data: bool


class Answer:
    """One answer of the command ``name``. What it says is wrong is raised at once, as what it says it is."""

    def __init__(self, name: str, fields: Mapping[str, Any]) -> None:
        """SourceMissing, SourceBusy, SourceChanged, SourceUnreadable."""
        self._name = name
        self._fields = fields
        error = fields.get("error")
        if error is None:
            return
        if not isinstance(error, dict) or error.get("kind") not in _ERRORS:
            self._refuse("error", error, f"an object whose kind is one of {', '.join(_ERRORS)}")
        message = error.get("message")
        if not isinstance(message, str) or not 1 <= len(message) <= _TEXT_MAX:
            self._refuse("error.message", message, f"a text of 1 to {_TEXT_MAX} characters")
        raise _ERRORS[error["kind"]](f"{name}: {message}")

    def opened(self) -> OpenedAnswer:
        """Return the answer to ``open``."""
        path = self._text("path")
        if not path.startswith("/") or "\0" in path:
            self._refuse("path", path, "an absolute path")
        tells_data = self._fields.get("tells_data", False)
        if not isinstance(tells_data, bool):
            self._refuse("tells_data", tells_data, "true or false")
        return OpenedAnswer(
            path=path,
            identity=self._text("identity"),
            token=None if self._fields.get("token") is None else self._text("token"),
            tells_data=tells_data,
        )

    def reason(self) -> str | None:
        """Return why the answer to ``changes`` knows no extents; None when it does."""
        return self._text("reason") if self._fields.get("extents") is None else None

    def extents(self, *, size_bytes: int) -> tuple[Extent, ...]:
        """Return the extents of an answer, merged; none reaches behind the end of the volume."""
        given = self._fields.get("extents")
        if not isinstance(given, list):
            self._refuse("extents", given, "a list of [offset, length]")
        return merge([self._extent(f"extents[{number}]", one, size_bytes) for number, one in enumerate(given)])

    def _extent(self, field: str, one: Any, size_bytes: int) -> Extent:
        if not isinstance(one, list) or [type(number) for number in one] != [int, int]:
            self._refuse(field, one, "[offset, length], both integers")
        offset, length = one
        if offset < 0 or length < 0 or offset + length > size_bytes:
            self._refuse(field, one, f"a range of the volume's {size_bytes} bytes")
        return Extent(offset, length)

    def _text(self, field: str) -> str:
        value = self._fields.get(field)
        if not isinstance(value, str) or not 1 <= len(value) <= _TEXT_MAX:
            self._refuse(field, value, f"a text of 1 to {_TEXT_MAX} characters")
        return value

    def _refuse(self, field: str, value: object, expected: str) -> NoReturn:
        shown = repr(value)
        shown = shown if len(shown) <= 100 else f"{shown[:100]}..."
        raise SourceUnreadable(f"command {self._name} answered {field}: {shown}, expected {expected}")
