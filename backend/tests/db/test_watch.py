from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, insert, select, text
from sqlalchemy.exc import DataError, DBAPIError
from sqlalchemy.orm import Session, selectinload
from sqlalchemy.pool import NullPool

from app.core import logging as log_lines
from app.db import connect, watch
from app.db.bulk import copy_rows
from app.models import MediaFile, Tag, TranscriptSegment, User

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import URL

SECRET = "s3cret-value"  # noqa: S105 - what must not be logged


@pytest.fixture
def engine(database: URL, as_role: Callable[[URL, str], URL]) -> Iterator[Engine]:
    engine = connect.engine_for(as_role(database, "app_rw"), application_name="tests", poolclass=NullPool)
    yield engine
    engine.dispose()


class Lines(io.StringIO):
    """The log lines written so far."""

    def entries(self) -> list[dict[str, Any]]:
        """All lines about slow statements."""
        found = [json.loads(line) for line in self.getvalue().splitlines()]
        return [line for line in found if line["event"] == "slow statement"]


@pytest.fixture
def lines() -> Iterator[Lines]:
    root, stream = logging.getLogger(), Lines()
    handlers, level = root.handlers, root.level
    log_lines.configure(stream=stream)
    yield stream
    root.handlers = handlers
    root.setLevel(level)


def test_a_slow_statement_is_logged_with_what_it_belongs_to_and_no_value(engine: Engine, lines: Lines) -> None:
    watch.watch(engine, 30)
    statement = text(f"SELECT pg_sleep(0.05), name FROM tag WHERE name <> :name AND name <> '{SECRET}' LIMIT 2")
    with engine.connect() as connection, log_lines.bound(request_id="r1", task_id="t1"):
        connection.execute(text("SELECT 1"))
        connection.execute(statement, {"name": SECRET})
    (entry,) = lines.entries()
    assert entry["statement"] == "SELECT pg_sleep(?), name FROM tag WHERE name <> %(name)s AND name <> ? LIMIT ?"
    assert (entry["request_id"], entry["task_id"], entry["rows"], entry["level"]) == ("r1", "t1", 2, "warning")
    assert 100 <= entry["duration_ms"] < 10_000, "two rows, 50 ms each"
    assert SECRET not in lines.getvalue()


def test_a_slow_statement_that_fails_is_logged_without_the_values_in_its_error(engine: Engine, lines: Lines) -> None:
    watch.watch(engine, 30)
    failing = text("SELECT CAST(:word || CAST(pg_sleep(0.05) AS text) AS integer)")
    with engine.connect() as connection, pytest.raises(DBAPIError, match=SECRET):
        connection.execute(failing, {"word": SECRET})
    (entry,) = lines.entries()
    assert (entry["error"], entry["sqlstate"]) == ("InvalidTextRepresentation", "22P02")
    assert entry["duration_ms"] >= 50
    assert SECRET not in lines.getvalue()


def test_fast_statements_and_a_limit_of_zero_log_nothing(engine: Engine, lines: Lines) -> None:
    watch.watch(engine, 0)
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_sleep(0.05)"))
    watch.watch(engine, 60_000)
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_sleep(0.05)"))
    assert lines.entries() == []


def test_a_copy_is_watched_and_counted_like_any_statement(engine: Engine, lines: Lines) -> None:
    watch.watch(engine, 0.001)
    with watch.count_statements(engine) as count, Session(engine) as session, session.begin():
        copy_rows(session, Tag, [{"name": name} for name in ("one", "two", "three")])
    (entry,) = lines.entries()
    assert (entry["statement"], entry["rows"]) == ("COPY tag (name) FROM STDIN", 3)
    assert count.statements == ["COPY tag (name) FROM STDIN"]


def test_a_copy_that_fails_is_logged_too(engine: Engine, lines: Lines) -> None:
    watch.watch(engine, 0.001)
    with pytest.raises(DataError), Session(engine) as session, session.begin():
        copy_rows(session, Tag, [{"name": "x" * 51}])
    assert [entry["sqlstate"] for entry in lines.entries()] == ["22001"]


def _store_files(engine: Engine, how_many: int) -> None:
    with Session(engine) as session, session.begin():
        user = User(email="a@b.c", hashed_password="x", full_name="A")  # noqa: S106
        session.add(user)
        session.flush()
        for number in range(how_many):
            file = MediaFile(
                filename=f"{number}", storage_path="p", file_size=1, content_type="audio/wav", user_id=user.id
            )
            session.add(file)
            session.flush()
            session.execute(
                insert(TranscriptSegment).values(media_file_id=file.id, start_time=0, end_time=1, text=f"{number}")
            )


def test_the_count_catches_an_n_plus_one(engine: Engine) -> None:
    _store_files(engine, 3)
    with Session(engine) as session, watch.count_statements(engine) as lazy:
        for file in session.scalars(select(MediaFile)).all():
            assert len(file.transcript_segments) == 1
    with Session(engine) as session, watch.count_statements(engine) as eager:
        for file in session.scalars(select(MediaFile).options(selectinload(MediaFile.transcript_segments))):
            assert len(file.transcript_segments) == 1
    assert (len(lazy), list(lazy.repeated().values())) == (4, [3])
    assert (len(eager), eager.repeated()) == (2, {})


def test_counting_ends_with_its_block_and_counts_nest(engine: Engine) -> None:
    with engine.connect() as connection, watch.count_statements(engine) as outer:
        with watch.count_statements(engine) as inner:
            connection.execute(select(Tag.id))
        connection.execute(select(Tag.name))
    with engine.connect() as connection:
        connection.execute(select(Tag.name))
    assert (len(outer), len(inner)) == (2, 1)


@pytest.mark.parametrize(
    ("statement", "shape"),
    [
        ("SELECT 'it''s', 1.5e-3, -7, 0x1F FROM t1", "SELECT ?, ?, -?, ? FROM t1"),
        ("SELECT E'a\\'b', U&'x', B'01', $$ body $$, $tag$ a $$ b $tag$", "SELECT ?, ?, ?, ?, ?"),
        ('SELECT "it\'s", "a""1" -- don\'t\nFROM t /* \'x */', 'SELECT "it\'s", "a""1" FROM t'),
        ("SELECT %(param_1)s, $1, col2[3], type'cut off", "SELECT %(param_1)s, $1, col2[?], type?"),
        ("INSERT INTO t VALUES ('a', 2), ('b', 3)", "INSERT INTO t VALUES (?, ?), (?, ?)"),
        ("SELECT $1$not a quote$1$", "SELECT $1$not a quote$1$"),
    ],
)
def test_the_shape_of_a_statement_has_no_literals(statement: str, shape: str) -> None:
    assert watch.redact(statement) == shape


@given(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=40))
def test_no_literal_gets_through(value: str) -> None:
    literal = psycopg2.extensions.QuotedString(f"<secret{value}secret>")
    literal.encoding = "utf8"
    quoted = literal.getquoted().decode("utf8").lstrip()
    assert watch.redact(f"SELECT {quoted} FROM t") == "SELECT ? FROM t"


def test_a_long_statement_is_cut() -> None:
    assert len(watch.redact("a, " * 10_000)) == 2000
