"""One page of a list: filters, order and place, in SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, String, and_, bindparam, func, or_, select, tuple_

from backupd.block_storage import Listing
from backupd.errors import InvalidRequest, NotFound

Columns = Mapping[str, ColumnElement[Any]]


def page(
    connection: Connection, query: Select[Any], listing: Listing, *, noun: str, sort: Columns, filters: Columns
) -> tuple[Sequence[Row[Any]], int | None]:
    """Return the rows of one page, and how many there are in all if that was asked for.

    ``query`` is everything that the caller may see; ``sort`` has "created_at" and "id" and no column that is NULL.
    InvalidRequest for an unknown sort key; NotFound for a marker that the caller cannot see.
    """
    matching = _filtered(query, listing, filters)
    if matching is None:
        return [], 0 if listing.is_counted else None
    order = _order(listing, sort)
    count = None
    if listing.is_counted:
        count = connection.execute(select(func.count()).select_from(matching.subquery())).scalar_one()
    found = matching
    if listing.marker is not None:
        found = found.where(_after(_marker(connection, query, listing.marker, sort, order, noun), sort, order))
    for key, is_descending in order:
        found = found.order_by(sort[key].desc() if is_descending else sort[key].asc())
    return connection.execute(found.offset(listing.offset or None).limit(listing.limit)).all(), count


def _filtered(query: Select[Any], listing: Listing, filters: Columns) -> Select[Any] | None:
    """Return what matches, None when nothing can: a name that is no column has no value."""
    for name, value in listing.filters.items():
        if name not in filters:
            return None
        query = query.where(filters[name].cast(String) == value)
    for name, value in listing.contains.items():
        if name not in filters:
            return None
        query = query.where(filters[name].cast(String).contains(value, autoescape=True))
    return query


def _order(listing: Listing, sort: Columns) -> list[tuple[str, bool]]:
    order = list(listing.sort)
    for key, _ in order:
        if key not in sort:
            raise InvalidRequest("Invalid input received: Invalid sort key")
    for key in ("created_at", "id"):  # So that no two rows are equal.
        if key not in dict(order):
            order.append((key, order[0][1]))
    return order


def _marker(
    connection: Connection, query: Select[Any], marker: str, sort: Columns, order: list[tuple[str, bool]], noun: str
) -> Sequence[Any]:
    columns = [sort[key].label(f"at_{number}") for number, (key, _) in enumerate(order)]
    found = connection.execute(query.with_only_columns(*columns).where(sort["id"] == marker)).first()
    if found is None:
        raise NotFound(f"{noun} {marker} could not be found.")
    return found


def _after(values: Sequence[Any], sort: Columns, order: list[tuple[str, bool]]) -> ColumnElement[bool]:
    columns = [sort[key] for key, _ in order]
    directions = {is_descending for _, is_descending in order}
    if len(directions) == 1:  # The usual case, and the one that an index serves.
        row, place = (
            tuple_(*columns),
            tuple_(*(bindparam(None, v, type_=c.type, unique=True) for c, v in zip(columns, values, strict=True))),
        )
        return row < place if directions.pop() else row > place
    steps = []
    for number, (column, (_, is_descending)) in enumerate(zip(columns, order, strict=True)):
        equal = [before == value for before, value in zip(columns[:number], values, strict=False)]
        steps.append(and_(*equal, column < values[number] if is_descending else column > values[number]))
    return or_(*steps)
