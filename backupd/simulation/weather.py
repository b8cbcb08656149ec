"""What may go wrong with the targets on one day."""

from __future__ import annotations

from random import Random

from targets.errors import QuotaExceeded, Throttled
from targets.wrappers.faults import Effect, Fault

_RATES = (0.0, 0.0, 0.02, 0.1)
_LATENCIES_S = (0.01, 0.5, 20.0)


def draw_weather(random: Random) -> list[Fault]:
    """Return the faults of a day; many days have none."""
    rate = random.choice(_RATES)
    faults = [
        Fault(effect=Effect.ERROR, probability=rate),
        Fault(effect=Effect.ERROR, probability=rate, error=Throttled),
        Fault(effect=Effect.LOST_RESPONSE, probability=rate),
        Fault(effect=Effect.LATENCY, probability=rate and 0.3, latency_s=random.choice(_LATENCIES_S)),
        Fault(effect=Effect.HANG, probability=rate / 4),
        Fault(effect=Effect.BIT_FLIP, probability=rate / 4),
        # What is stored under a name that is known is stored whole or not at all, as every driver promises.
        Fault(effect=Effect.TORN_PUT, probability=rate, operation="put", matches=is_pack),
        Fault(effect=Effect.STALE_LIST, probability=rate, operation="list"),
        Fault(effect=Effect.ERROR, probability=rate / 4, operation="put", error=QuotaExceeded),
    ]
    return [fault for fault in faults if fault.probability]


def is_pack(_operation: str, key: str) -> bool:
    """Tell whether a call is about a pack."""
    return "packs/" in key
