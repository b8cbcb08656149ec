"""One page of a list: filters, order and place, in SQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import eq, ge, gt, le, lt, ne
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, String, and_, bindparam, func, or_, select, tuple_

from backupd.block_storage import Listing
from backupd.errors import InvalidRequest, NotFound

Columns = Mapping[str, ColumnElement[Any]]
_Order = tuple[tuple[str, bool], ...]
_SHAPES_KEPT = 256
_COMPARED: Mapping[str, Callable[[Any, Any], ColumnElement[bool]]] = {
    "gt": gt,
    "gte": ge,
    "lt": lt,
    "lte": le,
    "eq": eq,
    "neq": ne,
}


@dataclass(frozen=True, eq=False, slots=True)
class Listed:
    """What is listed: ``shown`` has everything, ``sort`` has "created_at" and "id" and no column that is NULL.

    Few rows have one value of those filters that are ``indexed``. Statements are made once for each shape and only
    filled in: making one takes longer than asking it.
    """

    noun: str
    shown: Select[Any]
    project: ColumnElement[str]
    sort: Columns
    filters: Columns
    indexed: frozenset[str] = frozenset()
    moments: Columns = field(default_factory=dict)
    metadata: ColumnElement[Any] | None = None

    def one(self, connection: Connection, project: str | None, thing_id: str, **values: Any) -> Row[Any]:
        """Return what a project may see, or what there is when ``project`` is None. NotFound."""
        values |= {"of_project": project, "marker": thing_id}
        found = connection.execute(_one(self, project is not None), values).first()
        if found is None:
            raise NotFound(f"{self.noun} {thing_id} could not be found.")
        return found

    def page(
        self, connection: Connection, project: str | None, listing: Listing, **values: Any
    ) -> tuple[Sequence[Row[Any]], int | None]:
        """Return the rows of one page, and how many there are in all if that was asked for.

        ``values`` are of what ``shown`` leaves open.
        InvalidRequest for an unknown sort key; NotFound for a marker that the caller cannot see.
        """
        order = self._order(listing)
        if not {*listing.filters, *listing.contains} <= self.filters.keys():
            return [], 0 if listing.is_counted else None  # A name that is no column has no value.
        shape = _Shape(
            is_scoped=project is not None,
            order=order,
            filters=tuple(listing.filters),
            contains=tuple(listing.contains),
            metadata=tuple(listing.metadata),
            moments=tuple((one.name, one.comparison) for one in listing.moments),
            is_after=listing.marker is not None,
        )
        own = {"of_project": project, "marker": listing.marker, **values}
        values = {**own, "page": listing.limit, "skipped": listing.offset}
        values |= {f"is_{name}": value for name, value in listing.filters.items()}
        values |= {f"has_{name}": _pattern(value) for name, value in listing.contains.items()}
        values |= {f"item_{number}": value for number, value in enumerate(listing.metadata.values())}
        values |= {f"moment_{number}": one.value for number, one in enumerate(listing.moments)}
        count = connection.execute(_counted(self, shape), values).scalar_one() if listing.is_counted else None
        if listing.marker is not None:
            values |= self._place(connection, shape, own)
        return connection.execute(_page(self, shape), values).all(), count

    def _order(self, listing: Listing) -> _Order:
        order = dict(listing.sort)
        if not order.keys() <= self.sort.keys():
            raise InvalidRequest("Invalid input received: Invalid sort key")
        is_descending = listing.sort[0][1]
        # So that no two rows are equal.
        return tuple({**order, **{key: is_descending for key in ("created_at", "id") if key not in order}}.items())

    def _place(self, connection: Connection, shape: _Shape, values: Mapping[str, Any]) -> dict[str, Any]:
        found = connection.execute(_marker(self, shape), values).first()
        if found is None:
            raise NotFound(f"{self.noun} {values['marker']} could not be found.")
        return {f"after_{number}": value for number, value in enumerate(found)}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """What a statement depends on, besides the values in it."""

    is_scoped: bool
    order: _Order
    filters: tuple[str, ...]
    contains: tuple[str, ...]
    metadata: tuple[str, ...]
    moments: tuple[tuple[str, str], ...]
    is_after: bool


@lru_cache(_SHAPES_KEPT)
def _one(listed: Listed, is_scoped: bool) -> Select[Any]:  # noqa: FBT001 - a key of the cache
    return _visible(listed, is_scoped=is_scoped).where(listed.sort["id"] == bindparam("marker"))


@lru_cache(_SHAPES_KEPT)
def _counted(listed: Listed, shape: _Shape) -> Select[Any]:
    only = _matching(listed, shape).with_only_columns(listed.sort["id"])
    return select(func.count()).select_from(only.subquery())


@lru_cache(_SHAPES_KEPT)
def _marker(listed: Listed, shape: _Shape) -> Select[Any]:
    columns = [listed.sort[key].label(f"at_{number}") for number, (key, _) in enumerate(shape.order)]
    visible = _visible(listed, is_scoped=shape.is_scoped)
    return visible.with_only_columns(*columns).where(listed.sort["id"] == bindparam("marker"))


@lru_cache(_SHAPES_KEPT)
def _page(listed: Listed, shape: _Shape) -> Select[Any]:
    found = _matching(listed, shape)
    if shape.is_after:
        found = found.where(_after(listed, shape.order))
    for key, is_descending in shape.order:
        found = found.order_by(listed.sort[key].desc() if is_descending else listed.sort[key].asc())
    return found.limit(bindparam("page")).offset(bindparam("skipped"))


def _visible(listed: Listed, *, is_scoped: bool) -> Select[Any]:
    return listed.shown.where(listed.project == bindparam("of_project")) if is_scoped else listed.shown


def _matching(listed: Listed, shape: _Shape) -> Select[Any]:
    query = _visible(listed, is_scoped=shape.is_scoped)
    if shape.is_scoped and not listed.indexed.isdisjoint(shape.filters):
        # SQLite would rather look at all of a project in order; what it has to work out has no index.
        query = listed.shown.where(func.coalesce(listed.project, "") == bindparam("of_project"))
    for name in shape.filters:
        query = query.where(_text(listed.filters[name]) == bindparam(f"is_{name}"))
    for name in shape.contains:
        query = query.where(_text(listed.filters[name]).like(bindparam(f"has_{name}"), escape="/"))
    for number, key in enumerate(shape.metadata):
        assert listed.metadata is not None
        query = query.where(listed.metadata[key].as_string() == bindparam(f"item_{number}"))
    for number, (name, comparison) in enumerate(shape.moments):
        column = listed.moments[name]
        query = query.where(_COMPARED[comparison](column, bindparam(f"moment_{number}", type_=column.type)))
    return query


def _text(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return what a text is compared with; what is text already stays as it is, since an index may serve it."""
    return column if isinstance(column.type, String) else column.cast(String)


def _pattern(text: str) -> str:
    for special in "/%_":
        text = text.replace(special, f"/{special}")
    return f"%{text}%"


def _after(listed: Listed, order: _Order) -> ColumnElement[bool]:
    columns = [listed.sort[key] for key, _ in order]
    values = [bindparam(f"after_{number}", type_=column.type) for number, column in enumerate(columns)]
    directions = {is_descending for _, is_descending in order}
    if len(directions) == 1:  # The usual case, and the one that an index serves.
        row, place = tuple_(*columns), tuple_(*values)
        return row < place if directions.pop() else row > place
    steps = []
    for number, (column, (_, is_descending)) in enumerate(zip(columns, order, strict=True)):
        equal = [before == value for before, value in zip(columns[:number], values, strict=False)]
        steps.append(and_(*equal, column < values[number] if is_descending else column > values[number]))
    return or_(*steps)
