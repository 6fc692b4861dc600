"""Pages of a listing by the keys of its last row (keyset), so that the ten-thousandth costs what the first does.

A row that is there all the time is shown once, whatever others insert and delete meanwhile: a page begins after a place
in the order, not after a number of rows.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import (
    Column,
    PrimaryKeyConstraint,
    UnaryExpression,
    UniqueConstraint,
    and_,
    inspect,
    literal,
    or_,
    tuple_,
)
from sqlalchemy.sql import operators

from app.db import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.orm import Session

MAX_LIMIT = 1000
"""Rows of the largest page."""

_DIGEST_BYTES = 9
_CURSOR_CHARACTERS = 4096

T = TypeVar("T")


class CursorInvalid(errors.BadInput):
    """A cursor that this listing hasn't given out: of another listing, altered, or none at all."""

    def __init__(self) -> None:
        super().__init__("that cursor doesn't belong to this listing", "start again without a cursor")


class LimitInvalid(errors.BadInput):
    """A page size that can't be."""

    def __init__(self, limit: object) -> None:
        super().__init__(f"a page can't have {limit} rows", f"ask for 1 to {MAX_LIMIT}")


class OrderInvalid(errors.BadInput):
    """An order in which a page has no certain place to begin."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"pages can't be cut in this order: {reason}", "order by columns that aren't null, a unique one last"
        )


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some rows of a listing; `next_cursor` asks for those after them, None when these are the last."""

    rows: list[T]
    next_cursor: str | None


@dataclass(frozen=True)
class _Key:
    """One column of the order."""

    column: ColumnElement[Any]
    source: Column[Any]
    descending: bool

    def after(self, value: object) -> ColumnElement[bool]:
        """Whether a row's value comes after this one."""
        bound = literal(value, self.source.type)
        return self.column < bound if self.descending else self.column > bound

    def not_before(self, value: object) -> ColumnElement[bool]:
        bound = literal(value, self.source.type)
        return self.column <= bound if self.descending else self.column >= bound

    def at(self, value: object) -> ColumnElement[bool]:
        return self.column == literal(value, self.source.type)


def page(
    session: Session,
    stmt: Select[T],
    order: Sequence[Any],
    *,
    limit: int | None,
    cursor: str | None = None,
) -> Page[T]:
    """The `limit` rows of `stmt` (None: all) that come after `cursor` (None: from the start), in this order.

    `stmt` selects one entity or column, and any order of its own is replaced. `order` are mapped columns, with `.asc()`
    or `.desc()`: none may hold nulls, and the last is unique by itself. An index over what `stmt` fixes and then the
    order's columns makes each page equally cheap. Raises `CursorInvalid`, `LimitInvalid`, `OrderInvalid`.
    """
    keys = _keys(order)
    if limit is not None and not 1 <= limit <= MAX_LIMIT:
        raise LimitInvalid(limit)
    if cursor is not None:
        stmt = stmt.where(_after(keys, _read_cursor(cursor, keys)))
    # The order's values are selected beside the entity, whose own may be older: the session doesn't overwrite them.
    wanted = stmt.order_by(None).order_by(*order).add_columns(*(key.column.label(None) for key in keys))
    found = session.execute(wanted.limit(None if limit is None else limit + 1)).all()
    shown = found[:limit]
    more = len(found) > len(shown)
    return Page([row[0] for row in shown], _write_cursor(keys, shown[-1][1:]) if more else None)


def write_cursor(order: Sequence[Any], values: Sequence[object]) -> str:
    """The cursor that asks for what comes after the row with these values, for a listing that isn't `page`'s."""
    return _write_cursor(_keys(order), values)


def read_cursor(cursor: str, order: Sequence[Any]) -> list[object]:
    """The values that such a cursor was written with. Raises `CursorInvalid`."""
    return _read_cursor(cursor, _keys(order))


def _keys(order: Sequence[Any]) -> list[_Key]:
    keys = [_key(item) for item in order]
    for key in keys:
        if key.source.nullable:
            raise OrderInvalid(f"{key.source} may be null")
    if not keys:
        raise OrderInvalid("it is empty")
    if not _is_unique(keys[-1].source):
        raise OrderInvalid(f"several rows may have the same {keys[-1].source}")
    return keys


def _key(item: Any) -> _Key:  # noqa: ANN401 - whatever order_by() takes
    descending = False
    if isinstance(item, UnaryExpression):
        if item.modifier not in (operators.asc_op, operators.desc_op):
            raise OrderInvalid(f"{item} is neither asc() nor desc()")
        descending = item.modifier is operators.desc_op
        item = item.element
    source = getattr(inspect(item, raiseerr=False), "expression", item)
    if not isinstance(source, Column):
        raise OrderInvalid(f"{item} is no column")
    return _Key(item, source, descending)


def _is_unique(column: Column[Any]) -> bool:
    constraints = getattr(column.table, "constraints", ())  # only tables have some, aliases haven't
    unique = (found for found in constraints if isinstance(found, PrimaryKeyConstraint | UniqueConstraint))
    return any(list(found.columns) == [column] for found in unique)


def _after(keys: Sequence[_Key], values: Sequence[object]) -> ColumnElement[bool]:
    if len({key.descending for key in keys}) == 1:
        row = tuple_(*(key.column for key in keys))
        place = tuple_(*(literal(value, key.source.type) for key, value in zip(keys, values, strict=True)))
        return row < place if keys[0].descending else row > place
    pairs = list(zip(keys, values, strict=True))
    ties = [[key.at(value) for key, value in pairs[:place]] for place in range(len(pairs))]
    steps = [and_(*tie, key.after(value)) for tie, (key, value) in zip(ties, pairs, strict=True)]
    # The first condition follows from the others, and is what an index can begin at.
    return and_(keys[0].not_before(values[0]), or_(*steps))


_READERS: dict[type, Callable[[Any], Any]] = {
    datetime: datetime.fromisoformat,
    date: date.fromisoformat,
    float: float,
    Decimal: Decimal,
    UUID: UUID,
}


def _write_cursor(keys: Sequence[_Key], values: Sequence[object]) -> str:
    content = json.dumps([_plain(value) for value in values], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_digest(keys, content) + content).decode().rstrip("=")


def _plain(value: object) -> object:
    if isinstance(value, datetime) and value.tzinfo:
        return value.astimezone(UTC).isoformat()
    return str(value) if type(value) in _READERS else value


def _read_cursor(cursor: str, keys: Sequence[_Key]) -> list[object]:
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        digest, content = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
        if len(cursor) > _CURSOR_CHARACTERS or digest != _digest(keys, content):
            raise CursorInvalid
        kinds = [key.source.type.python_type for key in keys]
        values = zip(kinds, json.loads(content), strict=True)
        return [_READERS[kind](value) if kind in _READERS else value for kind, value in values]
    except (binascii.Error, ValueError, TypeError, ArithmeticError) as error:
        raise CursorInvalid from error


def _digest(keys: Sequence[_Key], content: bytes) -> bytes:
    """Ties a cursor to its order and to its own content. It guards against mix-ups: there is nothing to steal by it."""
    order = ",".join(f"{key.source} {'desc' if key.descending else 'asc'}" for key in keys)
    return hashlib.blake2b(order.encode() + b"\0" + content, digest_size=_DIGEST_BYTES).digest()
