"""Which memory a method is given, to tell whether bytes were copied on their way to it."""

from __future__ import annotations

from typing import Any

import pytest


def memory_given_to(patch: pytest.MonkeyPatch, owner: type, method: str) -> dict[int, object]:
    """Return what grows by the memory of each view that ``owner.method`` is given.

    It is kept, so that memory that was given up does not look like memory that is used again.
    """
    memory: dict[int, object] = {}
    inner = getattr(owner, method)

    def seen(self: object, *given: Any) -> Any:
        memory.update((id(view.obj), view.obj) for view in given if isinstance(view, memoryview))
        return inner(self, *given)

    patch.setattr(owner, method, seen)
    return memory
