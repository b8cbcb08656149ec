"""How far the server's clock is from this machine's."""

from __future__ import annotations

from targets.probe.answer import Answer, broken, ok, unknown
from targets.probe.site import Site


async def clock_skew(site: Site) -> Answer:
    """Compare the two clocks; half of the time that the question took is the uncertainty."""
    if site.server_clock is None or site.wall_s is None:
        return unknown("the driver cannot tell the server's time")
    asked_s = site.wall_s()
    server_s = await site.server_clock.server_time_s()
    answered_s = site.wall_s()
    skew_s = server_s - (asked_s + answered_s) / 2
    uncertainty_s = abs(answered_s - asked_s) / 2
    evidence = {"skew_s": skew_s, "uncertainty_s": uncertainty_s}
    seen = f"the server's clock is {abs(skew_s):.1f} s {'ahead of' if skew_s > 0 else 'behind'} this machine's"
    if abs(skew_s) > site.plan.clock_skew_s_max + uncertainty_s:
        return broken(f"{seen}, more than {site.plan.clock_skew_s_max:g} s", evidence)
    return ok(seen, evidence)
