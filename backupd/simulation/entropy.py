"""Randomness that can be had again, for a process that does nothing but simulate."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def seeded_entropy(source: random.Random) -> Iterator[None]:
    """Let ids, names of packs and keys come from ``source`` for as long as the context lasts.

    Names decide in which order things are done, so a run could not be had again without this. It holds for the
    whole process: never where real data is written.
    """
    real, real_of_secrets = os.urandom, vars(random)["_urandom"]
    os.urandom = source.randbytes
    vars(random)["_urandom"] = source.randbytes  # What secrets and SystemRandom draw from.
    try:
        yield
    finally:
        os.urandom = real
        vars(random)["_urandom"] = real_of_secrets
