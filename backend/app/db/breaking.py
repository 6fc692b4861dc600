"""Rows that a constraint of a pending revision would refuse, found before the revision runs.

What is new comes from the recorded catalogs: no revision has to say it again. A revision that repairs such rows itself
names the constraints in `repairs`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import ProgrammingError

from app.db import catalog

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

    from app.db.catalog import Catalog
    from app.db.chain import Revision

SHOWN_IDS = 10
ABOUT_SOMETHING_NEW = frozenset({"42703", "42P01"})
"""undefined_column, undefined_table: the rule is about something that a pending revision adds; no row breaks it."""


def breaking_rows(connection: Connection, pending: Sequence[Revision]) -> list[str]:
    """A line for each constraint that existing rows break: which, how many, the first ten ids."""
    present = catalog.read_catalog(connection)
    repaired = frozenset[str]().union(*(revision.repairs for revision in pending))
    found = (
        _line(connection, table, name, condition)
        for table, name, condition in _conditions(present, catalog.required(pending[-1].id))
        if name not in repaired
    )
    return [line for line in found if line]


def _conditions(present: Catalog, wanted: Catalog) -> Iterator[tuple[str, str, str]]:
    """Table, name and the SQL condition of a row that breaks it, for every rule that is wanted and not yet in force.

    A rule that is wanted NOT VALID refuses no existing row.
    """
    for subject, definition in wanted.items():
        kind, _, place = subject.partition(" ")
        table, _, name = place.partition(".")
        if present.get(subject) == definition or f"table {table}" not in present or definition.endswith(" NOT VALID"):
            continue
        if kind == "column" and " not null" in definition and " not null" not in present.get(subject, " not null"):
            yield table, f"{table}_{name}_check", f'"{name}" IS NULL'
        elif kind == "constraint":
            yield from ((table, name, condition) for condition in _broken(table, definition))


def _broken(table: str, definition: str) -> Iterator[str]:
    if check := re.fullmatch(r"CHECK \((.*)\)( NOT VALID)?", definition, re.DOTALL):
        yield f"NOT ({check[1]})"
    elif key := re.match(r"FOREIGN KEY \((.+?)\) REFERENCES (\S+?)\((.+?)\)", definition):
        pairs = zip(key[1].split(", "), key[3].split(", "), strict=True)
        same = " AND ".join(f"parent.{theirs} = t.{ours}" for ours, theirs in pairs)
        there = " AND ".join(f"t.{column} IS NOT NULL" for column in key[1].split(", "))
        yield f"{there} AND NOT EXISTS (SELECT FROM {key[2]} parent WHERE {same})"
    elif unique := re.match(r"UNIQUE \((.+?)\)", definition):
        key_columns, name = unique[1], catalog.quoted(table)
        yield f"({key_columns}) IN (SELECT {key_columns} FROM {name} GROUP BY {key_columns} HAVING count(*) > 1)"


def _line(connection: Connection, table: str, name: str, condition: str) -> str | None:
    text = f"SELECT id FROM {catalog.quoted(table)} t WHERE {condition}"
    try:
        count = _query(connection, f"SELECT count(*) FROM ({text}) broken")[0]
    except ProgrammingError as error:
        if getattr(error.orig, "pgcode", None) in ABOUT_SOMETHING_NEW:
            return None
        raise
    if not count:
        return None
    shown = ", ".join(map(str, _query(connection, f"{text} ORDER BY id LIMIT {SHOWN_IDS}")))
    return f"{name} on {table}: {count} row{'s' if count != 1 else ''}, id {shown}{' ...' if count > SHOWN_IDS else ''}"


def _query(connection: Connection, text: str) -> Sequence[Any]:
    return connection.exec_driver_sql(text, execution_options={"no_parameters": True}).scalars().all()
