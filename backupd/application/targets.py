"""Targets as requests see them: what the operator configured and what each can do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from backupd.application.fields import invalid
from backupd.catalog.store import Catalog
from backupd.config import TargetConfig
from backupd.errors import Conflict, NotFound, shown
from backupd.model import TargetProbe
from targets.base import Capabilities
from targets.wrappers.observe import Counters, Observe


@dataclass(frozen=True, slots=True)
class ConfiguredTarget:
    """One target; ``url`` holds no user name and no option, ``counters`` grow from the daemon's start.

    ``probe`` is the last one, None when there was none since the url was set.
    """

    name: str
    url: str
    capabilities: Capabilities
    counters: Counters
    single_writer: bool
    probe: TargetProbe | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """The targets of the configuration file."""

    catalog: Catalog
    config: Mapping[str, TargetConfig]
    observed: Mapping[str, Observe]

    def all(self) -> list[ConfiguredTarget]:
        """Return every target, by name."""
        return [self.one(name) for name in sorted(self.config)]

    def one(self, name: str) -> ConfiguredTarget:
        """Return the target ``name``. Raises NotFound."""
        if name not in self.config:
            raise NotFound(f"no target {shown(name)}; the configuration has {self._names()}")
        observed = self.observed[name]
        config = self.config[name]
        return ConfiguredTarget(name, _bare(config.url), observed.capabilities, observed.counters, config.single_writer)

    def capabilities(self, name: str) -> Capabilities | None:
        """Return what a target can do, None when it is not configured."""
        return self.observed[name].capabilities if name in self.config else None

    async def probed(self, name: str) -> ConfiguredTarget:
        """Return the target ``name`` with its last probe. Raises NotFound."""
        target = self.one(name)
        stored = await self.catalog.probe(name)
        is_current = stored is not None and stored.url == self.config[name].url
        return replace(target, probe=stored if is_current else None)

    def is_known(self, name: str) -> bool:
        """Tell whether there is such a target."""
        return name in self.config

    def check_known(self, name: str, *, field: str = "target") -> None:
        """Raise InvalidRequest when a request names a target that is not configured."""
        if name not in self.config:
            raise invalid(field, name, f"a target of the configuration: {self._names()}")

    def check_still_there(self, name: str) -> None:
        """Raise Conflict when a target that a backup or a type names is configured no longer."""
        if name not in self.config:
            raise Conflict(f'target "{name}" is no longer in the configuration, which has {self._names()}')

    def _names(self) -> str:
        return ", ".join(sorted(self.config)) or "none"


def _bare(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
