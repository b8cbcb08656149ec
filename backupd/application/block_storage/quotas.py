"""Quotas: what a project may have, and what it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import NoReturn

from backupd.access import Access, Caller
from backupd.block_storage import Charge
from backupd.catalog.block_storage.store import BlockStorageCatalog
from backupd.config import QuotasConfig
from backupd.errors import InvalidRequest, QuotaExceeded

# What clients ask for as well; nothing here is ever one of these.
_OTHERS = {"groups": 10}


@dataclass(frozen=True, slots=True)
class Quota:
    """One resource of one project; ``limit`` -1 is none."""

    limit: int
    in_use: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """Shows and changes limits, and turns what a request needs into charges."""

    catalog: BlockStorageCatalog
    access: Access
    config: QuotasConfig

    def defaults(self) -> dict[str, int]:
        """Return the limits of a project that has none of its own."""
        return {**asdict(self.config), **_OTHERS}

    def class_defaults(self, caller: Caller) -> dict[str, int]:
        """Return the defaults, which every class has. Forbidden."""
        self.access.require(caller, "volume_extension:quotas:show")
        return self.defaults()

    def change_class(self, caller: Caller) -> NoReturn:
        """Forbidden; InvalidRequest, as the defaults are the configuration's."""
        self.access.require(caller, "volume_extension:quotas:update")
        raise InvalidRequest("Invalid input received: The defaults are those of [quotas] in the configuration file.")

    async def of(self, project: str) -> dict[str, Quota]:
        """Return every resource of a project."""
        limits, used = await self.catalog.quotas(project)
        return {name: Quota(limit, used.get(name, 0)) for name, limit in {**self.defaults(), **limits}.items()}

    async def shown(self, caller: Caller, project: str) -> dict[str, Quota]:
        """Return the resources of a project to somebody in it. Forbidden."""
        self.access.require(caller, "volume_extension:quotas:show")
        if project != caller.project:
            self.access.require(caller, "volume_extension:quotas:update")
        return await self.of(project)

    async def limits(self, caller: Caller, project: str | None) -> dict[str, Quota]:
        """Return the resources of the caller's project, or to an administrator those of ``project``. Forbidden."""
        self.access.require(caller, "limits_extension:used_limits")
        return await self.of(project if project is not None and caller.is_admin else caller.project)

    async def change(self, caller: Caller, project: str, values: Mapping[str, int]) -> dict[str, Quota]:
        """Set limits. Forbidden; InvalidRequest for one that is below what is in use."""
        self.access.require(caller, "volume_extension:quotas:update")
        known = self.defaults()
        for name in values:
            if name not in known:
                raise InvalidRequest(f"Bad key(s) in quota set: {name}")
        await self.catalog.set_limits(project, values)
        return await self.of(project)

    async def clear(self, caller: Caller, project: str) -> None:
        """Let the defaults hold again. Forbidden."""
        self.access.require(caller, "volume_extension:quotas:delete")
        await self.catalog.clear_limits(project)

    async def charges(self, project: str, amounts: Mapping[str, int]) -> list[Charge]:
        """Return the charges for what a request needs; they are taken in the transaction that needs them."""
        return _charges(await self.of(project), amounts)

    async def check(self, project: str, amounts: Mapping[str, int]) -> list[Charge]:
        """Return the charges. QuotaExceeded when it is known already that there is no room for them."""
        found = await self.of(project)
        for name, amount in amounts.items():
            quota = found[name]
            if 0 <= quota.limit < quota.in_use + amount:
                raise QuotaExceeded(name, requested=amount, limit=quota.limit, in_use=quota.in_use)
        per_volume = found["per_volume_gigabytes"].limit
        if 0 <= per_volume < amounts.get("gigabytes", 0) and "volumes" in amounts:
            raise QuotaExceeded("per_volume_gigabytes", requested=amounts["gigabytes"], limit=per_volume, in_use=0)
        return _charges(found, amounts)


def _charges(found: Mapping[str, Quota], amounts: Mapping[str, int]) -> list[Charge]:
    return [Charge(name, amount, found[name].limit) for name, amount in amounts.items()]
