"""The one way to write many rows: COPY into the table, or COPY into a staging table and INSERT ... ON CONFLICT.

Both run in the session's own transaction and commit nothing. COPY bypasses the ORM: validators and events don't run,
objects that the session holds aren't told; Python-side column defaults are filled in here.

The COPY goes through SQLAlchemy as a statement like any other, whose execution is ours (`do_execute_no_params`): so its
errors are SQLAlchemy's, a lost connection is noticed, and it is counted and logged when slow.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, count
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Column, MetaData, Table, case, event, or_, select
from sqlalchemy.dialects.postgresql import distinct_on, insert

from app.db import errors
from app.db.copytext import NO_SEQUENCES, RowInvalid, RowWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sqlalchemy import Connection
    from sqlalchemy.orm import DeclarativeBase, Session

__all__ = [
    "ColumnRepeated",
    "ColumnUnknown",
    "ConflictMissing",
    "RowInvalid",
    "RowsUseSession",
    "copy_rows",
    "upsert_rows",
]

_SOURCE = "opentr_copy_source"
_ORDINAL = "opentr_ordinal"


class ColumnUnknown(errors.BadInput):
    """A name that is no column of the table, or none of those that the rows have."""

    def __init__(self, table: str, names: Iterable[str], known: Iterable[str]) -> None:
        super().__init__(f"{table} has no column {', '.join(map(repr, names))}", f"the columns are {', '.join(known)}")


class ColumnRepeated(errors.BadInput):
    """A column is named more than once."""

    def __init__(self, table: str, names: Iterable[str]) -> None:
        super().__init__(f"{table}: {', '.join(map(repr, names))} is named more than once", "name each column once")


class ConflictMissing(errors.BadInput):
    """An upsert that names no column to know rows by."""

    def __init__(self, table: str) -> None:
        super().__init__(
            f"an upsert into {table} names no conflict columns",
            "name those of a unique constraint, or copy the rows",
        )


class RowsUseSession(errors.BadInput):
    """The iterable of rows queries the connection that they are being written on, which is busy with the COPY."""

    def __init__(self) -> None:
        super().__init__(
            "the rows run a statement on the session that they are being copied with",
            "load what they need before, or read with another session",
        )


def copy_rows(
    session: Session,
    target: type[DeclarativeBase] | Table,
    rows: Iterable[Mapping[str, Any]] | Iterable[Sequence[Any]],
    columns: Sequence[str] | None = None,
) -> int:
    """Writes all rows by one COPY and returns how many there were. The session is flushed first.

    `rows` are mappings with the same keys throughout, or sequences in the order of `columns`; they are read as they are
    sent, some hundred at a time, and must not use the session. Columns with a Python-side default that aren't given get
    it. JSON columns take what `json` writes; None is NULL in every column. Times need a zone where the column has one.

    Raises `RowInvalid`, `ColumnUnknown`, `ColumnRepeated`, `RowsUseSession`, and SQLAlchemy's `DBAPIError` for what the
    server refuses.
    Afterwards the transaction can only be rolled back, as after any failed statement.
    """
    batch = _batch(_table(target), rows, columns)
    if batch is None:
        return 0
    session.flush()
    return _copy(session.connection(), batch)


def upsert_rows(
    session: Session,
    target: type[DeclarativeBase] | Table,
    rows: Iterable[Mapping[str, Any]],
    *,
    conflict: Sequence[str],
    update: Sequence[str] | None = None,
) -> int:
    """Inserts the rows, or updates those whose `conflict` columns are there already; returns how many it wrote.

    `conflict` are the columns of a unique constraint. `update` are the columns to overwrite (None: all that the rows
    give; empty: rows that exist stay as they are and don't count). Of rows with the same key the last one wins. Rows
    are written in the order of their keys, so that two upserts of the same keys wait for each other and don't deadlock.
    Raises `ConflictMissing` when `conflict` is empty; rows and errors otherwise as in `copy_rows`.
    """
    table = _table(target)
    if not conflict:
        raise ConflictMissing(table.name)
    _check_repeated(table, conflict)
    batch = _batch(table, rows)
    if batch is None:
        return 0
    names = [column.name for column in batch.given]
    _check_known(table, [*conflict, *(update or ())], names)
    update = [name for name in names if name not in conflict] if update is None else update
    session.flush()
    connection = session.connection()
    with _staged(connection, batch) as stage:
        _copy(connection, batch.into(stage))
        return _merge(connection, table, stage, conflict, update)


@dataclass(frozen=True)
class _Batch:
    """Rows on their way into `table`: `given` are the columns that they have, `fillers` make what they don't have."""

    table: Table
    given: Sequence[Column[Any]]
    fillers: Mapping[Column[Any], Callable[[], object]]
    rows: Iterator[Any]
    mappings: bool

    def into(self, stage: Table) -> _Batch:
        """The same rows on their way into the staging table, numbered."""
        return replace(self, table=stage, fillers={**self.fillers, stage.c[_ORDINAL]: partial(next, count(1))})


def _table(target: type[DeclarativeBase] | Table) -> Table:
    table = target if isinstance(target, Table) else target.__table__
    if not isinstance(table, Table):
        raise errors.BadInput(f"{target} is no table", "give a model that is mapped to one table")
    return table


def _batch(table: Table, rows: Iterable[Any], names: Sequence[str] | None = None) -> _Batch | None:
    """What is to be written, by the look of the first row; None if there is none."""
    rows = iter(rows)
    first = next(rows, None)
    if first is None:
        return None
    mappings = isinstance(first, Mapping)
    names = _names(table, first, names)
    _check_repeated(table, names)
    _check_known(table, names, table.c.keys())
    given = [table.c[name] for name in names]
    return _Batch(table, given, _fillers(table, given), chain([first], rows), mappings)


def _names(table: Table, first: object, names: Sequence[str] | None) -> Sequence[str]:
    """The columns that the rows give: the ones named, else the first row's keys."""
    if isinstance(first, Mapping):
        names = list(first) if names is None else names
    elif names is None:
        raise RowInvalid(table.name, 1, None, "it is no mapping, and no columns are named")
    elif isinstance(first, NO_SEQUENCES):
        raise RowInvalid(table.name, 1, None, f"it is of type {type(first).__name__}, and no sequence")
    if not names:
        raise RowInvalid(table.name, 1, None, "it has no columns")
    return names


def _check_repeated(table: Table, names: Sequence[str]) -> None:
    if repeated := [name for name, times in Counter(names).items() if times > 1]:
        raise ColumnRepeated(table.name, repeated)


def _check_known(table: Table, names: Sequence[str], known: Sequence[str]) -> None:
    if unknown := [name for name in names if name not in known]:
        raise ColumnUnknown(table.name, unknown, known)


def _fillers(table: Table, given: Sequence[Column[Any]]) -> dict[Column[Any], Callable[[], object]]:
    """The columns that the rows don't give and Python fills in."""
    missing = set(table.c) - set(given)
    return {column: _maker(column.default) for column in table.c if column in missing and column.default is not None}


def _maker(default: Any) -> Callable[[], object]:  # noqa: ANN401 - SQLAlchemy's DefaultGenerator doesn't type `arg`
    if default.is_callable:
        return lambda: default.arg(None)
    if default.is_scalar:
        return lambda: default.arg
    raise errors.BadInput(f"the default of {default.column} is made by a statement", "give that column in the rows")


def _copy(connection: Connection, batch: _Batch) -> int:
    preparer = connection.dialect.identifier_preparer
    names = ", ".join(preparer.quote(column.name) for column in (*batch.given, *batch.fillers))
    writer = RowWriter(batch.table.name, batch.given, batch.fillers, connection.dialect, mappings=batch.mappings)
    if not event.contains(connection.dialect, "do_execute_no_params", _execute_copy):
        event.listen(connection.dialect, "do_execute_no_params", _execute_copy)
    result = connection.exec_driver_sql(
        f"COPY {preparer.format_table(batch.table)} ({names}) FROM STDIN",
        execution_options={"no_parameters": True, _SOURCE: _Source(connection, writer.lines(batch.rows))},
    )
    return result.rowcount


class _Source:
    """The file that psycopg2 reads. It takes pieces of any size, so a read is a chunk of rows."""

    def __init__(self, connection: Connection, pieces: Iterator[bytes]) -> None:
        self._connection = connection
        self._pieces = pieces
        self.failure: BaseException | None = None

    def read(self, _size: int) -> bytes:
        try:
            return next(self._pieces, b"")
        except BaseException as error:  # psycopg2 would make a QueryCanceled of it
            self.failure = error
            raise

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Refuses other statements on the connection: libpq would lose it."""
        event.listen(self._connection, "before_cursor_execute", _refuse)
        try:
            yield
        finally:
            event.remove(self._connection, "before_cursor_execute", _refuse)


def _refuse(*_arguments: object) -> None:
    raise RowsUseSession


def _execute_copy(cursor: Any, statement: str, context: Any) -> bool | None:  # noqa: ANN401 - psycopg2's and SQLAlchemy's own
    source: _Source | None = context.execution_options.get(_SOURCE)
    if source is None:
        return None
    with source.alone():
        try:
            cursor.copy_expert(statement, source)
        except Exception:
            if source.failure is not None:
                raise source.failure from None
            raise
    return True


@contextmanager
def _staged(connection: Connection, batch: _Batch) -> Iterator[Table]:
    """A temporary table for the batch's columns and ordinals. A failed transaction takes it along, as a commit does."""
    stage = Table(
        f"stage_{secrets.token_hex(8)}",
        MetaData(),
        *(Column(column.name, column.type) for column in (*batch.given, *batch.fillers)),
        Column(_ORDINAL, BigInteger),
        prefixes=["TEMPORARY"],
        postgresql_on_commit="DROP",
    )
    stage.create(connection, checkfirst=False)
    yield stage
    stage.drop(connection, checkfirst=False)


def _merge(connection: Connection, table: Table, stage: Table, conflict: Sequence[str], update: Sequence[str]) -> int:
    keys = [stage.c[name] for name in conflict]
    # NULL conflicts with nothing, so rows with one in their key are all different.
    lone = case((or_(*(key.is_(None) for key in keys)), stage.c[_ORDINAL]))
    columns = [column for column in stage.c if column.name != _ORDINAL]
    latest = select(*columns).ext(distinct_on(*keys, lone)).order_by(*keys, lone, stage.c[_ORDINAL].desc())
    statement = insert(table).from_select([column.name for column in columns], latest)
    if update:
        statement = statement.on_conflict_do_update(
            index_elements=conflict, set_={name: statement.excluded[name] for name in update}
        )
    else:
        statement = statement.on_conflict_do_nothing(index_elements=conflict)
    # The stage's name is new each time: such a statement would only push others out of the cache.
    return connection.execute(statement, execution_options={"compiled_cache": None}).rowcount
