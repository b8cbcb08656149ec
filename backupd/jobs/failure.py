"""From an exception to the one cause that is told to people. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from backupd.errors import BackupdError
from backupd.model import Failure
from chunker.errors import ChunkerError
from targets.errors import TargetError

_OTHERS_MAX = 3
_OURS = (BackupdError, ChunkerError, TargetError)


def failure_of(error: BaseException) -> Failure:
    """Return the first cause in ``error``, with up to three others as notes.

    Only our own errors, which were written to be read, give their code and message; of any other only the
    type is told, because nobody has made sure that its message holds no secret.
    """
    first, *others = causes(error)
    notes = [f"also: {_message(other)}" for other in others[:_OTHERS_MAX]]
    code = first.code if isinstance(first, _OURS) else "internal"
    return Failure(code=code, message="\n".join([_message(first), *notes]))


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield what is in ``error`` if that is a group, else itself."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from causes(inner)
    else:
        yield error


def _message(error: BaseException) -> str:
    if isinstance(error, _OURS):
        return "\n".join([str(error), *getattr(error, "__notes__", ())])
    return f"unexpected {type(error).__name__}; the daemon's log has the details"
