"""A database's structure as a flat mapping, and what differs between two of them.

A catalog maps an object to its definition: `{"column media_file.title": "character varying(255)", ...}`. It holds
structure alone (`database/queries/catalog.sql` says what), so that the same schema has one catalog on PostgreSQL 14 to
18, whoever owns it and in whatever order its columns stand. Each revision's catalog is kept in `alembic/catalogs/`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from app.db import errors
from app.db.queries import query

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import Connection

CATALOGS = Path(__file__).resolve().parents[2] / "alembic" / "catalogs"

Catalog = dict[str, str]


@dataclass(frozen=True)
class Difference:
    """One line: which file to change (relative to the checkout), what it is about, what is wrong."""

    file: str
    subject: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}: {self.subject}: {self.text}"


@dataclass(frozen=True)
class Change:
    """One object that two catalogs don't agree on; None stands for an object that isn't there."""

    subject: str
    expected: str | None
    found: str | None

    def __str__(self) -> str:
        if self.found is None:
            return f"{self.subject} is missing; expected: {one_line(self.expected)}"
        if self.expected is None:
            return f"{self.subject} is not expected; found: {one_line(self.found)}"
        return f"{self.subject} is: {one_line(self.found)}; expected: {one_line(self.expected)}"


def one_line(definition: str | None) -> str:
    """A definition without line breaks, for a message."""
    return " ".join((definition or "").split())


def read_catalog(connection: Connection) -> Catalog:
    """The structure of schema public, as the connected server describes it now."""
    return _read(connection, "catalog")


def read_surroundings(connection: Connection) -> Catalog:
    """Owners, grants and comments in schema public: what a catalog leaves out."""
    return _read(connection, "surroundings")


def _read(connection: Connection, name: str) -> Catalog:
    before = connection.exec_driver_sql("SHOW search_path").scalar_one()
    connection.exec_driver_sql("SELECT set_config('search_path', 'public', false)")
    try:
        rows = connection.exec_driver_sql(query(name), execution_options={"no_parameters": True}).all()
    finally:
        connection.exec_driver_sql("SELECT set_config('search_path', %(before)s, false)", {"before": before})
    return {f"{kind} {subject}": definition for kind, subject, definition in rows}


def compare(expected: Mapping[str, str], found: Mapping[str, str]) -> list[Change]:
    """Every object that isn't the same in both, in order; what a missing table holds isn't listed again."""
    subjects = sorted(
        subject for subject in expected.keys() | found.keys() if expected.get(subject) != found.get(subject)
    )
    changes = [Change(subject, expected.get(subject), found.get(subject)) for subject in subjects]
    missing = {change.subject.removeprefix("table ") for change in changes if _whole(change, "table ")}
    return [change for change in changes if not _inside(change, missing)]


def _whole(change: Change, kind: str) -> bool:
    return change.subject.startswith(kind) and None in (change.expected, change.found)


def _inside(change: Change, tables: Iterable[str]) -> bool:
    kind, _, name = change.subject.partition(" ")
    owner = name.partition(".")[0] if kind in ("column", "constraint", "trigger", "rule", "policy") else ""
    text = change.expected or change.found or ""
    return any(
        owner == table or (kind == "index" and f" ON public.{quoted(table)} " in text) or f", owned by {table}." in text
        for table in tables
    )


def quoted(table: str) -> str:
    """The one table name of ours that SQL has taken for itself."""
    return '"user"' if table == "user" else table


def recorded(revision: str) -> Catalog | None:
    """The catalog that is kept for a revision; None when there is no such file."""
    path = path_of(revision)
    if not path.exists():
        return None
    found: Catalog = json.loads(path.read_text())
    return found


def required(revision: str) -> Catalog:
    """The catalog that is kept for a revision. Raises `BadInput` when there is none: nothing can be proven then."""
    found = recorded(revision)
    if found is None:
        raise errors.BadInput(f"revision {revision} has no recorded catalog", "type ./opentr.sh db revision --record")
    return found


def record(revision: str, catalog: Catalog) -> Path:
    """Writes the catalog of a revision; returns the file."""
    path = path_of(revision)
    path.write_text(json.dumps(dict(sorted(catalog.items())), indent=1) + "\n")
    return path


def path_of(revision: str) -> Path:
    """Where a revision's catalog is kept."""
    return CATALOGS / f"{revision}.json"
