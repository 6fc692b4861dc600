r"""Rows as the text that COPY reads: a line a row, fields between tabs, `\N` for NULL, backslash escapes.

Fields are made a column at a time over a few hundred rows, because a column is nearly always of one type, which lets
Python's C loops do the work; a value that can't be written is then looked for one by one, to name its row.

Source of the format: PostgreSQL, COPY, "Text Format".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from itertools import islice
from numbers import Integral, Real
from operator import itemgetter
from types import NoneType
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import JSON, DateTime

from app.db import errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sqlalchemy import Column, Dialect

CHUNK_ROWS = 256
"""Rows that are in memory at once."""

_NULL = r"\N"
_NUL = "\0"
_NO_NUL = "PostgreSQL can't hold the character NUL"
_WRITE_ERRORS = (LookupError, TypeError, ValueError, ArithmeticError, RecursionError)
NO_SEQUENCES = (str, bytes, bytearray, Mapping, AbstractSet)
"""Kinds that have a length and parts, too, and aren't meant where a row's values are: "ab" isn't ("a", "b")."""

_to_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class RowInvalid(errors.BadInput):
    """A row that can't be written: `row` counts from 1, `column` is None when it is about the whole row."""

    def __init__(self, table: str, row: int, column: str | None, reason: str) -> None:
        place = f"column {column} of " if column else ""
        super().__init__(f"row {row} for {place}{table}: {reason}", "correct that row; none of them was written")
        self.row = row
        self.column = column


def _escaped(text: str) -> str:
    if _NUL in text:
        raise ValueError(_NO_NUL)
    return _with_backslashes(text)


def _with_backslashes(text: str) -> str:
    for character, escape in (("\\", r"\\"), ("\t", r"\t"), ("\n", r"\n"), ("\r", r"\r")):
        if character in text:
            text = text.replace(character, escape)
    return text


def _escaped_all(values: Sequence[str]) -> Iterable[str]:
    """The same for a whole column in one go: NUL, which no value may hold, stands between the values."""
    joined = _NUL.join(values)
    if joined.count(_NUL) != len(values) - 1:
        raise ValueError(_NO_NUL)
    return _with_backslashes(joined).split(_NUL)


def _aware(moment: datetime) -> str:
    if moment.utcoffset() is None:
        raise ValueError("a time without a zone means another moment on each machine; give it one")
    return moment.isoformat()


class _Texts(dict[type, "Callable[[Any], str]"]):
    """How a value of a type is written. Types that aren't listed are found by what they are kinds of, once each."""

    def __missing__(self, kind: type) -> Callable[[Any], str]:
        self[kind] = found = self._find(kind)
        return found

    def _find(self, kind: type) -> Callable[[Any], str]:
        if issubclass(kind, Enum):
            return lambda member: self[type(member.value)](member.value)
        for base in (datetime, date, str, UUID):
            if issubclass(kind, base):
                return self[base]
        if issubclass(kind, Integral):
            return lambda number: int.__repr__(int(number))
        if issubclass(kind, Real):
            return lambda number: float.__repr__(float(number))
        raise TypeError(f"there is no way to write a {kind.__name__}")


_PLAIN: dict[type, Callable[[Any], str]] = {
    NoneType: lambda _: _NULL,
    bool: lambda value: "t" if value else "f",
    int: int.__repr__,
    float: float.__repr__,
    Decimal: str,
    str: _escaped,
    datetime: datetime.isoformat,
    date: date.isoformat,
    time: time.isoformat,
    UUID: str,
}
_TEXTS = _Texts(_PLAIN)
_TEXTS_WITH_ZONE = _Texts(_PLAIN | {datetime: _aware})


def _json_text(value: object) -> str:
    r"""None is SQL's NULL; `sqlalchemy.JSON.NULL` is JSON's."""
    if value is None:
        return _NULL
    text = "null" if value is JSON.NULL else _to_json(value)
    if r"\u0000" in text and _holds_nul(value):
        raise ValueError(_NO_NUL)
    return _with_backslashes(text)


def _holds_nul(value: object) -> bool:
    if isinstance(value, str):
        return _NUL in value
    if isinstance(value, dict):
        return any(_holds_nul(part) for item in value.items() for part in item)
    return isinstance(value, list | tuple) and any(map(_holds_nul, value))


class FieldWriter:
    """Writes the values of one column, as its type takes them."""

    def __init__(self, column: Column[Any], dialect: Dialect) -> None:
        self.name = column.name
        self._is_json = isinstance(column.type, JSON)
        self._process = None if self._is_json else column.type.dialect_impl(dialect).bind_processor(dialect)
        with_zone = isinstance(column.type, DateTime) and column.type.timezone
        self._texts = _TEXTS_WITH_ZONE if with_zone else _TEXTS

    def many(self, values: Sequence[Any]) -> Iterable[str]:
        """The fields of many values. Raises one of Python's errors where one of them can't be written."""
        if self._is_json:
            return list(map(_json_text, values))
        if self._process:
            values = list(map(self._process, values))
        kinds = set(map(type, values))
        if kinds == {str}:
            return _escaped_all(values)
        if len(kinds) == 1:
            return list(map(self._texts[kinds.pop()], values))
        texts = self._texts
        return [texts[type(value)](value) for value in values]

    def failure(self, value: object) -> str | None:
        """Why this one value can't be written, or None."""
        try:
            "".join(self.many([value])).encode()
        except UnicodeEncodeError:
            return "it has half a surrogate pair, which is no character"
        except _WRITE_ERRORS as error:
            return str(error) or type(error).__name__
        return None


class RowWriter:
    """Turns rows into the lines of one COPY, a chunk at a time.

    `columns` are those that the rows give, in the order of the tuples; `fillers` are columns that they don't give, each
    with what makes a value. Rows are all mappings or all sequences, as `mappings` says.
    """

    def __init__(
        self,
        table: str,
        columns: Sequence[Column[Any]],
        fillers: Mapping[Column[Any], Callable[[], object]],
        dialect: Dialect,
        *,
        mappings: bool,
    ) -> None:
        self._table = table
        self._names = [column.name for column in columns]
        self._writers = [FieldWriter(column, dialect) for column in (*columns, *fillers)]
        self._makers = list(fillers.values())
        self._mappings = mappings

    def lines(self, rows: Iterable[Any]) -> Iterator[bytes]:
        """The lines of `CHUNK_ROWS` rows at a time. Raises `RowInvalid`."""
        rows, first = iter(rows), 1
        while chunk := list(islice(rows, CHUNK_ROWS)):
            yield self._chunk(chunk, first)
            first += len(chunk)

    def _chunk(self, chunk: list[Any], first: int) -> bytes:
        columns = self._columns(chunk, first)
        columns += [[make() for _ in chunk] for make in self._makers]
        try:
            fields = [writer.many(values) for writer, values in zip(self._writers, columns, strict=True)]
            return ("\n".join(map("\t".join, zip(*fields, strict=True))) + "\n").encode()
        except _WRITE_ERRORS as error:
            raise self._culprit(columns, first, str(error)) from error

    def _columns(self, chunk: list[Any], first: int) -> list[Sequence[Any]]:
        """The chunk turned on its side: the values of each column."""
        try:
            if set(map(len, chunk)) != {len(self._names)}:
                raise LookupError  # noqa: TRY301 - as when a key is missing
            if not self._mappings:
                if any(issubclass(kind, NO_SEQUENCES) for kind in set(map(type, chunk))):
                    raise TypeError  # noqa: TRY301 - likewise
                return list(zip(*chunk, strict=True))
            return [list(map(itemgetter(name), chunk)) for name in self._names]
        except (LookupError, TypeError) as error:
            raise self._misshapen(chunk, first, str(error)) from error

    def _misshapen(self, chunk: list[Any], first: int, otherwise: str) -> RowInvalid:
        for number, row in enumerate(chunk, first):
            if reason := self._misfit(row):
                return RowInvalid(self._table, number, None, reason)
        return RowInvalid(self._table, first, None, otherwise)

    def _misfit(self, row: Any) -> str | None:  # noqa: ANN401 - whatever a caller gives as a row
        fits = hasattr(row, "keys") if self._mappings else hasattr(row, "__len__") and not isinstance(row, NO_SEQUENCES)
        if not fits:
            return f"it is of type {type(row).__name__}, and no {'mapping' if self._mappings else 'sequence'}"
        if not self._mappings:
            wrong = len(row) != len(self._names)
            return f"it has {len(row)} values, and there are {len(self._names)} columns" if wrong else None
        missing = [name for name in self._names if name not in row]
        unknown = [str(name) for name in row if name not in self._names]
        if missing:
            return f"it lacks {', '.join(missing)}, which the first row has"
        return f"it has {', '.join(unknown)}, which the first row hasn't" if unknown else None

    def _culprit(self, columns: Sequence[Sequence[Any]], first: int, otherwise: str) -> RowInvalid:
        for number, row in enumerate(zip(*columns, strict=True), first):
            for writer, value in zip(self._writers, row, strict=True):
                if reason := writer.failure(value):
                    return RowInvalid(self._table, number, writer.name, reason)
        return RowInvalid(self._table, first, None, otherwise)
