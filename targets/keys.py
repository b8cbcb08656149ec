"""What a legal key is. Pure.

A key is the part that every target can store: file systems, S3, Swift, RADOS and GCS alike. No key may be
a folder of another one (``a`` beside ``a/b``): object stores could hold both, a directory tree cannot.
"""

from __future__ import annotations

import re

from targets.errors import InvalidKey

KEY_LENGTH_MAX = 512
SEGMENT_LENGTH_MAX = 255  # NAME_MAX of the common file systems.

# No segment starts with a dot: "." and ".." would leave the tree, and hidden names belong to the drivers and
# to file systems (".tmp", ".snapshot", ".nfs0001").
_SEGMENT = re.compile(rf"[a-z0-9_-][a-z0-9._-]{{0,{SEGMENT_LENGTH_MAX - 1}}}")
_EXPECTED = f"expected up to {KEY_LENGTH_MAX} characters: names of a-z 0-9 . _ - between slashes, none hidden"


def is_segment(name: str) -> bool:
    """Tell whether ``name`` may stand between the slashes of a key."""
    return _SEGMENT.fullmatch(name) is not None


def is_key(key: str) -> bool:
    """Tell whether ``key`` is legal."""
    return len(key) <= KEY_LENGTH_MAX and all(is_segment(segment) for segment in key.split("/"))


def validate_key(key: str) -> None:
    """Raise InvalidKey, which names the key, unless it is legal."""
    if not is_key(key):
        raise InvalidKey(f"key {_shown(key)}: {_EXPECTED}")


def validate_prefix(prefix: str) -> None:
    """Raise InvalidKey unless ``prefix`` is empty, a key, or a key and a slash."""
    if prefix and not is_key(prefix.removesuffix("/")):
        raise InvalidKey(f"prefix {_shown(prefix)}: {_EXPECTED}, and perhaps a slash at the end")


def _shown(key: str) -> str:
    return repr(key) if len(key) <= KEY_LENGTH_MAX else f"{key[:64]!r}... of {len(key)} characters"
