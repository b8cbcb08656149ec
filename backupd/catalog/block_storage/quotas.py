"""Quotas: one counter for each project and resource, which racing requests cannot take beyond its limit."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, insert, literal, or_, select, update

from backupd.block_storage import Charge
from backupd.catalog.block_storage.tables import quota_usages, quotas
from backupd.errors import InvalidRequest, QuotaExceeded


def charge(connection: Connection, project: str, charges: Collection[Charge]) -> None:
    """Take all of it or, by QuotaExceeded, none."""
    for one in charges:
        _ensure(connection, project, one.resource)
        room = or_(literal(one.limit) < 0, quota_usages.c.in_use + one.amount <= one.limit)
        taken = (
            update(quota_usages)
            .where(_of(project, one.resource), room)
            .values(in_use=quota_usages.c.in_use + one.amount)
        )
        if connection.execute(taken).rowcount == 0:
            in_use = usages(connection, project)[one.resource]
            raise QuotaExceeded(one.resource, requested=one.amount, limit=one.limit, in_use=in_use)


def release(connection: Connection, project: str, amounts: Mapping[str, int]) -> None:
    """Give back what was taken, or take (less than 0) what nobody may refuse any more."""
    for resource, amount in amounts.items():
        _ensure(connection, project, resource)
        left = update(quota_usages).where(_of(project, resource)).values(in_use=quota_usages.c.in_use - amount)
        connection.execute(left)


def usages(connection: Connection, project: str) -> dict[str, int]:
    query = select(quota_usages.c.resource, quota_usages.c.in_use).where(quota_usages.c.project == project)
    return {row.resource: row.in_use for row in connection.execute(query)}


def limits(connection: Connection, project: str) -> dict[str, int]:
    query = select(quotas.c.resource, quotas.c.hard_limit).where(quotas.c.project == project)
    return {row.resource: row.hard_limit for row in connection.execute(query)}


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


def _ensure(connection: Connection, project: str, resource: str) -> None:
    there = exists().where(_of(project, resource))
    row = select(literal(project), literal(resource), literal(0)).where(~there)
    connection.execute(insert(quota_usages).from_select(["project", "resource", "in_use"], row))


def _of(project: str, resource: str) -> ColumnElement[bool]:
    return and_(quota_usages.c.project == project, quota_usages.c.resource == resource)
