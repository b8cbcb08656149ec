"""The targets of the configuration, opened and with everything around them that every user of them wants."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from backupd.clock import Clock
from backupd.config import Config, TargetConfig
from backupd.errors import ConfigError
from targets.base import Target
from targets.errors import TargetError
from targets.open import open_target, redact
from targets.wrappers.limit import Limit
from targets.wrappers.observe import Observe
from targets.wrappers.retry import Retry
from targets.wrappers.single_writer import SingleWriter


@dataclass(frozen=True, slots=True)
class OpenTarget:
    """One configured target: what everything goes through is counted, and is limited for who does work."""

    bare: Target
    observed: Observe
    limited: Target
    writer: SingleWriter | None


async def open_targets(config: Config, clock: Clock, stack: AsyncExitStack) -> dict[str, OpenTarget]:
    """Open every configured target; they are closed with ``stack``. ConfigError names those that cannot be opened."""
    opened, problems = {}, []
    for name, target in config.targets.items():
        try:
            opened[name] = await _open_target(target, clock, stack)
        except TargetError as error:
            problems.append(_target_problem(target, str(error)))
    if problems:
        raise ConfigError(*problems)
    return opened


def _target_problem(config: TargetConfig, reason: str) -> str:
    """Return what a driver says about its url or an option of it, with the key that the file has for that."""
    section = f"targets.{config.name}"
    if reason.startswith("option "):
        return f"{section}.options.{reason.removeprefix('option ')}"
    reason = reason.removeprefix("target url: ").removeprefix(f"target url {redact(config.url)}: ")
    return f"{section}.url = {redact(config.url)!r}: {reason}"


async def _open_target(config: TargetConfig, clock: Clock, stack: AsyncExitStack) -> OpenTarget:
    target = await open_again(config)
    stack.push_async_callback(target.aclose)
    observed = Observe(target, name=config.name, monotonic=clock.monotonic)
    writer = SingleWriter(observed) if config.single_writer else None
    return OpenTarget(target, observed, limited(writer or observed, config, clock), writer)


async def open_again(config: TargetConfig) -> Target:
    """Open a target over connections of its own, for who closes it; bare, without wrappers."""
    return await asyncio.to_thread(partial(open_target, config.url, **config.options))


def limited(target: Target, config: TargetConfig, clock: Clock) -> Target:
    """Return a target with deadlines, retries and limits as it is configured."""
    # Retry inside, so that its deadline is for the operation and not for the turn that it waits for.
    retried = Retry(target, retries_max=config.retries_max, timeout_s=config.operation_timeout_s, sleep=clock.sleep)
    return Limit(
        retried,
        operations_max=config.operations_max,
        bytes_per_s=config.bytes_per_s,
        monotonic=clock.monotonic,
        sleep=clock.sleep,
    )
