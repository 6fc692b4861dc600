"""Whole databases as values, so that a test can say that every row is intact."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.db.connect import direct

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import URL

    Rows = dict[str, list[dict[str, object]]]

TABLES = ('"user"', "media_file", "tag", "file_tag", "speaker", "transcript_segment", "comment", "task", "analytics")


def all_rows(url: URL, tables: Iterable[str] = TABLES) -> Rows:
    """Every row of the tables as a mapping of column to value, ordered by id."""
    with direct(url, "tests") as connection:
        return {
            table: list(connection.exec_driver_sql(f"SELECT to_jsonb(t) FROM {table} t ORDER BY id").scalars())
            for table in tables
        }


def in_columns_of(rows: Rows, newer: Rows) -> Rows:
    """The newer rows without the columns that these rows haven't."""
    return {
        table: [{name: later[name] for name in row} for row, later in zip(found, newer[table], strict=True)]
        for table, found in rows.items()
    }


def run(url: URL, *statements: str) -> None:
    """Runs statements on a connection of their own, each committed."""
    with direct(url, "tests") as connection:
        for statement in statements:
            connection.exec_driver_sql(statement, execution_options={"no_parameters": True})


def ask(url: URL, question: str) -> object:
    """The one value that the question has for an answer."""
    with direct(url, "tests") as connection:
        return connection.exec_driver_sql(question, execution_options={"no_parameters": True}).scalar()
