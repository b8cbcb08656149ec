"""Quotas: one counter for each project and resource, which racing requests cannot take beyond its limit."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import Connection, and_, bindparam, delete, exists, insert, literal, or_, select, update

from backupd.block_storage import Charge
from backupd.catalog.block_storage.tables import quota_usages, quotas
from backupd.errors import InvalidRequest, QuotaExceeded

_MINE = and_(quota_usages.c.project == bindparam("of_project"), quota_usages.c.resource == bindparam("of_resource"))
_AFTER = quota_usages.c.in_use + bindparam("amount", type_=quota_usages.c.in_use.type)
_ADD = update(quota_usages).where(_MINE).values(in_use=_AFTER)
_LIMIT = bindparam("limit", type_=quota_usages.c.in_use.type)
_TAKE = _ADD.where(or_(_LIMIT < 0, _AFTER <= _LIMIT))
_ENSURE = insert(quota_usages).from_select(
    ["project", "resource", "in_use"],
    select(
        bindparam("of_project", type_=quota_usages.c.project.type),
        bindparam("of_resource", type_=quota_usages.c.resource.type),
        literal(0),
    ).where(~exists().where(_MINE)),
)
_USAGES = select(quota_usages.c.resource, quota_usages.c.in_use).where(
    quota_usages.c.project == bindparam("of_project")
)
_LIMITS = select(quotas.c.resource, quotas.c.hard_limit).where(quotas.c.project == bindparam("of_project"))


def charge(connection: Connection, project: str, charges: Collection[Charge]) -> None:
    """Take all of it or, by QuotaExceeded, none."""
    for one in charges:
        mine = _ensured(connection, project, one.resource)
        if connection.execute(_TAKE, {**mine, "amount": one.amount, "limit": one.limit}).rowcount == 0:
            in_use = usages(connection, project)[one.resource]
            raise QuotaExceeded(one.resource, requested=one.amount, limit=one.limit, in_use=in_use)


def release(connection: Connection, project: str, amounts: Mapping[str, int]) -> None:
    """Give back what was taken, or take (less than 0) what nobody may refuse any more."""
    for resource, amount in amounts.items():
        connection.execute(_ADD, {**_ensured(connection, project, resource), "amount": -amount})


def usages(connection: Connection, project: str) -> dict[str, int]:
    return {row.resource: row.in_use for row in connection.execute(_USAGES, {"of_project": project})}


def limits(connection: Connection, project: str) -> dict[str, int]:
    return {row.resource: row.hard_limit for row in connection.execute(_LIMITS, {"of_project": project})}


def of(connection: Connection, project: str) -> tuple[dict[str, int], dict[str, int]]:
    return limits(connection, project), usages(connection, project)


def set_limits(connection: Connection, project: str, values: Mapping[str, int]) -> None:
    """Set them, unless one is below what is in use already: InvalidRequest."""
    used = usages(connection, project)
    for resource, limit in values.items():
        if 0 <= limit < used.get(resource, 0):
            raise InvalidRequest(
                f"Quota {resource} limit must be equal or greater than existing resources. Current usage is "
                f"{used[resource]} and the requested limit is {limit}."
            )
        connection.execute(delete(quotas).where(quotas.c.project == project, quotas.c.resource == resource))
        connection.execute(insert(quotas).values(project=project, resource=resource, hard_limit=limit))


def clear_limits(connection: Connection, project: str) -> None:
    connection.execute(delete(quotas).where(quotas.c.project == project))


def _ensured(connection: Connection, project: str, resource: str) -> dict[str, str]:
    """Let there be a counter, and return what statements find it by."""
    mine = {"of_project": project, "of_resource": resource}
    connection.execute(_ENSURE, mine)
    return mine
