"""Who asks, and what each role may ask for: one table. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from backupd.errors import Forbidden

READER, MEMBER, ADMIN, SERVICE = "reader", "member", "admin", "service"
ROLES = (READER, MEMBER, ADMIN, SERVICE)
# Whoever has a role has those that it includes, as Keystone has it.
_INCLUDED = {ADMIN: (MEMBER, READER), MEMBER: (READER,)}
_ANYBODY = (READER, SERVICE)
_SERVED = (MEMBER, SERVICE)

RULES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "backup:get": _ANYBODY,
        "backup:get_all": _ANYBODY,
        "backup:create": (MEMBER,),
        "backup:update": (MEMBER,),
        "backup:delete": (MEMBER,),
        "backup:restore": (MEMBER,),
        "backup:backup-import": (ADMIN,),
        "backup:export-import": (ADMIN,),
        "backup:backup_project_attribute": (ADMIN,),
        "volume_extension:backup_admin_actions:reset_status": (ADMIN,),
        "volume_extension:backup_admin_actions:force_delete": (ADMIN,),
        "volume:get": _ANYBODY,
        "volume:get_all": _ANYBODY,
        "volume:create": (MEMBER,),
        "volume:update": (MEMBER,),
        "volume:delete": (MEMBER,),
        "volume:extend": (MEMBER,),
        "volume:force_delete": (ADMIN,),
        "volume:attach": _SERVED,
        "volume:reset_status": (ADMIN,),
        "volume:host_attribute": (ADMIN,),
        "volume_extension:volume_manage": (ADMIN,),
        "volume_extension:volume_unmanage": (ADMIN,),
        "volume:get_snapshot": _ANYBODY,
        "volume:get_all_snapshots": _ANYBODY,
        "volume:create_snapshot": (MEMBER,),
        "volume:update_snapshot": (MEMBER,),
        "volume:delete_snapshot": (MEMBER,),
        "snapshot_extension:snapshot_manage": (ADMIN,),
        "snapshot_extension:snapshot_unmanage": (ADMIN,),
        "message:get": _ANYBODY,
        "message:get_all": _ANYBODY,
        "message:delete": (MEMBER,),
        "limits_extension:used_limits": _ANYBODY,
        "volume_extension:quotas:show": _ANYBODY,
        "volume_extension:quotas:update": (ADMIN,),
        "volume_extension:quotas:delete": (ADMIN,),
        "volume_extension:services:index": (ADMIN,),
        "scheduler_extension:scheduler_stats:get_pools": (ADMIN,),
        "volume_extension:types:get": _ANYBODY,
        "backupd:read": _ANYBODY,
        "backupd:back_up": (MEMBER,),
        "backupd:operate": (ADMIN,),
    }
)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, in which project, with which roles."""

    user_id: str
    project: str
    roles: frozenset[str]

    @property
    def is_admin(self) -> bool:
        """Whether every project is open to the caller."""
        return ADMIN in self.roles

    @property
    def scope(self) -> str | None:
        """The project whose things the caller may see by their id; None is every project."""
        return None if self.is_admin else self.project


class Access:
    """The table with what the operator has changed in it."""

    def __init__(self, changed: Mapping[str, tuple[str, ...]] | None = None) -> None:
        self._rules = {**RULES, **(changed or {})}

    def require(self, caller: Caller, rule: str) -> None:
        """Raise Forbidden unless one of the caller's roles is among those of the rule."""
        if not self.allows(caller, rule):
            raise Forbidden(f"Policy doesn't allow {rule} to be performed.")

    def allows(self, caller: Caller, rule: str) -> bool:
        """Tell whether one of the caller's roles is among those of the rule; an administrator may do everything."""
        if caller.is_admin:
            return True
        has = {*caller.roles, *(one for role in caller.roles for one in _INCLUDED.get(role, ()))}
        return not has.isdisjoint(self._rules[rule])
