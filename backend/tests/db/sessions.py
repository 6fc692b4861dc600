"""Sessions in the states that an inspection finds, and questions to its answer."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

import psycopg2

from app.db import command
from app.db import inspect as verb
from app.db.inspect import Finding, Inspection, inspect

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest
    from sqlalchemy import URL

    from app.db.findings import Limits


FOREIGN_SQL = """
CREATE SCHEMA "odd schema";
CREATE TABLE "odd schema"."100% ""Odd"":x" (id smallint GENERATED ALWAYS AS IDENTITY, "a%s" int);
INSERT INTO "odd schema"."100% ""Odd"":x" ("a%s") SELECT generate_series(1, 7);
CREATE TABLE parts (id bigint, at date) PARTITION BY RANGE (at);
CREATE TABLE parts_one PARTITION OF parts FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE INDEX ON parts (at);
CREATE MATERIALIZED VIEW made AS SELECT 1 AS one;
CREATE MATERIALIZED VIEW unmade AS SELECT 1 AS one WITH NO DATA;
CREATE TABLE ruled (id int);
ALTER TABLE ruled ENABLE ROW LEVEL SECURITY;
CREATE SEQUENCE falling INCREMENT BY -1;
"""


@contextlib.contextmanager
def connected(url: URL, *, autocommit: bool = True, name: str = "tests") -> Iterator[Any]:
    words = url.translate_connect_args(username="user", database="dbname") | dict(url.query)
    connection = psycopg2.connect(**words, application_name=name)
    connection.autocommit = autocommit
    try:
        yield connection
    finally:
        connection.close()


def run(url: URL, *statements: str) -> Any:  # noqa: ANN401 - whatever the last one answers
    """Runs the statements; what they count is in the server's figures when this returns."""
    with connected(url) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        answer = cursor.fetchall() if cursor.description else None
        if connection.server_version >= 150000:
            cursor.execute("SELECT pg_stat_force_next_flush()")
    return answer


@contextlib.contextmanager
def in_transaction(url: URL, statement: str, name: str = "tests") -> Iterator[int]:
    """A session that has done this and is idle in its transaction; yields its pid."""
    with connected(url, autocommit=False, name=name) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        yield connection.info.backend_pid


@contextlib.contextmanager
def waiting(url: URL, statement: str) -> Iterator[int]:
    """A session that waits for a lock with this statement; yields its pid."""
    with connected(url, name="waiting") as connection:
        pid = connection.info.backend_pid
        thread = threading.Thread(target=_ignoring_the_end, args=(connection, statement))
        thread.start()
        try:
            until(url, f"SELECT 1 FROM pg_locks WHERE pid = {pid} AND NOT granted")
            yield pid
        finally:
            run(url, f"SELECT pg_terminate_backend({pid})")
            thread.join()


def _ignoring_the_end(connection: Any, statement: str) -> None:  # noqa: ANN401
    with contextlib.suppress(psycopg2.Error), connection.cursor() as cursor:
        cursor.execute(statement)


def until(url: URL, question: str) -> Any:  # noqa: ANN401
    """Asks until there is an answer."""
    with connected(url) as connection, connection.cursor() as cursor:
        while True:
            cursor.execute(question)
            if answer := cursor.fetchall():
                return answer[0][0]


def found(url: URL, section: str, limits: Limits | None = None) -> dict[str, Finding]:
    """The findings of one section by their subjects."""
    return {finding.subject: finding for finding in inspect(url, [section], limits).findings}


def rows(inspection: Inspection, section: str) -> list[dict[str, Any]]:
    return next(result.rows for result in inspection.results if result.section.name == section)


def problems(inspection: Inspection) -> dict[str, str]:
    return {result.section.name: result.problem for result in inspection.results if result.problem}


def said(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert command.run(verb.parser(), verb.act, argv) == 0
    return capsys.readouterr().out


def dsn(url: URL) -> str:
    return url.render_as_string(hide_password=False)
