"""From an exception to the one cause that is told to people. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from backupd.model import Failure

_OTHERS_MAX = 3


def failure_of(error: BaseException) -> Failure:
    """Return the first cause in ``error``, with up to three others as notes.

    Only errors that were written to be read (they have a ``code``) give their message; of any other only the
    type is told, because nobody has made sure that its message holds no secret.
    """
    first, *others = list(_causes(error))
    notes = [f"also: {_message(other)}" for other in others[:_OTHERS_MAX]]
    return Failure(code=getattr(first, "code", "internal"), message="\n".join([_message(first), *notes]))


def _causes(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _causes(inner)
    else:
        yield error


def _message(error: BaseException) -> str:
    if isinstance(getattr(error, "code", None), str):
        return str(error)
    return f"unexpected {type(error).__name__}; the daemon's log has the details"
