from __future__ import annotations

import math
import threading
import tracemalloc
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import JSON, func, select, text
from sqlalchemy.exc import DataError, IntegrityError, OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool
from structlog.testing import capture_logs

from app.db import connect
from app.db.bulk import (
    ColumnRepeated,
    ColumnUnknown,
    ConflictMissing,
    RowInvalid,
    RowsUseSession,
    copy_rows,
    upsert_rows,
)
from app.db.copytext import CHUNK_ROWS
from app.db.watch import count_statements, watch
from app.models import Analytics, FileStatus, MediaFile, Speaker, Tag, Task, TranscriptSegment
from tests.recordings import add_file, add_user

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import URL, Engine

SEGMENT = ("media_file_id", "start_time", "end_time", "text")
SAME_DATABASE = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(-1e15, 1e15)  # jsonb keeps larger ones as whole numbers
    | TEXTS,
    lambda values: st.lists(values, max_size=4) | st.dictionaries(TEXTS, values, max_size=4),
    max_leaves=12,
)


@pytest.fixture(params=["direct", "pooled"])
def engine(request: pytest.FixtureRequest, database: URL, as_role: Callable[[URL, str], URL]) -> Iterator[Engine]:
    """An engine as app_rw on the test's database, straight to Postgres and through PgBouncer."""
    direct = as_role(database, "app_rw")
    url = direct if request.param == "direct" else request.getfixturevalue("pooled_database")
    engine = connect.engine_for(url, application_name="tests", poolclass=NullPool)
    yield engine
    engine.dispose()


@pytest.fixture
def db(engine: Engine) -> Iterator[Session]:
    with Session(engine) as session:
        yield session


@pytest.fixture
def file(db: Session) -> MediaFile:
    """A committed file."""
    file = add_file(db, add_user(db))
    db.commit()
    return file


def _segments(file: MediaFile, count: int) -> Iterator[tuple[Any, ...]]:
    file_id = file.id  # read before the copy: an expired object would query the session
    return ((file_id, number, number + 1, f"segment {number}") for number in range(count))


def _texts(db: Session) -> list[str]:
    return list(db.scalars(select(TranscriptSegment.text).order_by(TranscriptSegment.id)))


def test_tuples_arrive_in_their_order(db: Session, file: MediaFile) -> None:
    count = CHUNK_ROWS * 3 + 1
    assert copy_rows(db, TranscriptSegment, _segments(file, count), SEGMENT) == count
    assert _texts(db) == [f"segment {number}" for number in range(count)]


def test_mappings_may_have_their_keys_in_any_order(db: Session, file: MediaFile) -> None:
    rows = [
        {"media_file_id": file.id, "start_time": 1, "end_time": 2, "text": "a"},
        {"text": "b", "end_time": 2.5, "start_time": 1, "media_file_id": file.id},
    ]
    assert copy_rows(db, TranscriptSegment.__table__, rows) == 2  # type: ignore[arg-type]
    assert _texts(db) == ["a", "b"]


def test_no_rows_are_no_statement(engine: Engine, db: Session) -> None:
    with count_statements(engine) as count:
        assert copy_rows(db, Tag, []) == 0
        assert copy_rows(db, Tag, iter(()), ["name"]) == 0
        assert upsert_rows(db, Tag, [], conflict=["name"]) == 0
    assert not count.statements


def test_the_session_is_flushed_first_and_nothing_is_committed(db: Session) -> None:
    tag = Tag(name="first")
    db.add(tag)
    copy_rows(db, Tag, [{"name": "second"}])
    assert db.scalar(select(Tag.id).where(Tag.name == "second")) == tag.id + 1
    db.rollback()
    assert not db.scalar(select(func.count()).where(Tag.name.in_(["first", "second"])))


def test_python_side_defaults_are_filled_in(db: Session) -> None:
    user = add_user(db)
    copy_rows(db, Speaker, [{"user_id": user.id, "name": f"S{number}"} for number in range(300)])
    uuids = set(db.scalars(select(Speaker.uuid)))
    assert len({UUID(found) for found in uuids}) == 300
    given_uuid = "11111111-1111-4111-8111-111111111111"
    copy_rows(db, Speaker, [{"user_id": user.id, "name": "given", "uuid": given_uuid}])
    assert db.scalar(select(Speaker.uuid).where(Speaker.name == "given")) == given_uuid


def test_a_copy_counts_as_one_statement(engine: Engine, db: Session) -> None:
    with count_statements(engine) as count:
        copy_rows(db, Tag, [{"name": str(number)} for number in range(1000)])
    assert count.statements == ["COPY tag (name) FROM STDIN"]


def test_a_slow_copy_is_logged_with_its_rows_and_without_values(engine: Engine, db: Session) -> None:
    watch(engine, slow_ms=0.000_001)
    with capture_logs() as logs:
        copy_rows(db, Tag, [{"name": f"secret {number}"} for number in range(1000)])
    (entry,) = [entry for entry in logs if "COPY" in entry["statement"]]
    assert (entry["event"], entry["rows"]) == ("slow statement", 1000)
    assert "secret" not in str(logs)


def test_columns_and_tables_whose_names_need_quotes_work(db: Session) -> None:
    user = add_user(db)
    columns = ("email", "hashed_password", "full_name")
    assert copy_rows(db, type(user), [("x@example.org", "!", "X")], columns) == 1
    assert copy_rows(db, Task, [{"id": "t", "user_id": user.id, "task_type": "x", "status": "pending"}]) == 1


@SAME_DATABASE
@given(values=st.lists(TEXTS, min_size=1, max_size=20))
def test_any_text_survives(db: Session, file: MediaFile, values: list[str]) -> None:
    with db.begin_nested() as savepoint:
        copy_rows(db, TranscriptSegment, [(file.id, 0, 1, value) for value in values], SEGMENT)
        assert _texts(db) == values
        savepoint.rollback()


@SAME_DATABASE
@given(values=st.lists(JSON_VALUES, min_size=1, max_size=8))
def test_any_json_survives(db: Session, values: list[Any]) -> None:
    with db.begin_nested() as savepoint:
        copy_rows(db, Analytics, [{"media_file_id": None, "keywords": value} for value in values])
        assert list(db.scalars(select(Analytics.keywords).order_by(Analytics.id))) == values
        savepoint.rollback()


def test_what_copy_gives_a_meaning_stays_text(db: Session, file: MediaFile) -> None:
    hard = ["", "\\", "\\.", "\\N", "a\tb", "a\nb", "a\rb", "\r\n", "\\t", "NULL", "\x01", "\x7f", "😀", "\\"]
    copy_rows(db, TranscriptSegment, [(file.id, 0, 1, value) for value in hard], SEGMENT)
    assert _texts(db) == hard
    for value in hard:  # each alone in its chunk, too, and beside NULL
        row = {"user_id": file.user_id, "name": value}
        copy_rows(db, Speaker, [{**row, "display_name": None}, {**row, "display_name": value}])
    names = list(db.scalars(select(Speaker.display_name).order_by(Speaker.id)))
    assert names == [name for value in hard for name in (None, value)]


def test_none_is_null_and_json_null_is_json(db: Session) -> None:
    copy_rows(db, Analytics, [{"keywords": value} for value in (None, JSON.NULL, [], {}, "", 0, False)])
    kinds = select(func.jsonb_typeof(Analytics.keywords)).order_by(Analytics.id)
    assert list(db.scalars(kinds)) == [None, "null", "array", "object", "string", "number", "boolean"]


def test_json_goes_by_its_content_and_not_by_how_it_looks_escaped(db: Session) -> None:
    value = {"a\\u0000": ["\\u0000", "\t\n\\"]}
    copy_rows(db, Analytics, [{"keywords": value}])
    assert db.scalar(select(Analytics.keywords)) == value


def test_numbers_survive(db: Session, file: MediaFile) -> None:
    numbers = [0.1, -0.0, 1e300, 5e-324, math.inf, -math.inf, 3, Decimal("2.5"), Fraction(1, 4), None, math.nan]
    copy_rows(db, MediaFile, [_file_row(file, duration=number) for number in numbers])
    *found, nan = db.scalars(select(MediaFile.duration).where(MediaFile.id != file.id).order_by(MediaFile.id))
    assert found == [None if number is None else float(number) for number in numbers[:-1]]
    assert nan is not None
    assert math.isnan(nan)


def test_times_of_any_zone_survive_to_the_microsecond(db: Session, file: MediaFile) -> None:
    odd = timezone(timedelta(hours=5, minutes=53, seconds=28))
    moments = [
        datetime(2025, 3, 30, 2, 30, 0, 123456, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=odd),
        datetime(1, 1, 2, tzinfo=UTC),
        datetime(9999, 12, 30, tzinfo=UTC),
    ]
    copy_rows(db, MediaFile, [_file_row(file, completed_at=moment) for moment in moments])
    found = select(MediaFile.completed_at).where(MediaFile.id != file.id).order_by(MediaFile.id)
    assert list(db.scalars(found)) == moments


class _Word(StrEnum):
    TAB = "a\tb"


def test_enums_and_booleans_are_written_as_their_columns_hold_them(db: Session, file: MediaFile) -> None:
    copy_rows(
        db,
        MediaFile,
        [_file_row(file, status=FileStatus.ERROR, is_public=True), _file_row(file, status="error", is_public=False)],
    )
    copy_rows(db, Tag, [{"name": _Word.TAB}])
    found = db.execute(
        select(MediaFile.status, MediaFile.is_public).where(MediaFile.id != file.id).order_by(MediaFile.id)
    )
    assert [tuple(row) for row in found] == [(FileStatus.ERROR, True), (FileStatus.ERROR, False)]
    assert db.scalar(select(Tag.name).where(Tag.name.startswith("a\t"))) == "a\tb"


def _file_row(file: MediaFile, **columns: object) -> dict[str, Any]:
    base = {
        "filename": "f",
        "storage_path": "s",
        "file_size": 2**40,
        "content_type": "audio/wav",
        "user_id": file.user_id,
    }
    return {**base, **columns}


def test_a_value_that_cannot_be_written_leaves_nothing(db: Session, file: MediaFile) -> None:
    rows = [*_segments(file, CHUNK_ROWS + 1), (file.id, 1, 2, "a\0b"), *_segments(file, 3)]
    with pytest.raises(RowInvalid, match="NUL") as caught:
        copy_rows(db, TranscriptSegment, rows, SEGMENT)
    assert (caught.value.row, caught.value.column, caught.value.exit_code) == (CHUNK_ROWS + 2, "text", 2)
    db.rollback()
    assert not _texts(db)
    assert copy_rows(db, TranscriptSegment, _segments(file, 1), SEGMENT) == 1


def test_a_column_that_does_not_exist_is_refused_before_anything_is_sent(engine: Engine, db: Session) -> None:
    with count_statements(engine) as count:
        with pytest.raises(ColumnUnknown, match="'nme'"):
            copy_rows(db, Tag, [{"nme": "x"}])
        with pytest.raises(ColumnUnknown):
            copy_rows(db, Tag, [("x",)], ["nme"])
        with pytest.raises(ColumnUnknown):
            upsert_rows(db, Tag, [{"name": "x"}], conflict=["id"])
        with pytest.raises(ColumnUnknown):
            upsert_rows(db, Tag, [{"name": "x"}], conflict=["name"], update=["created_at"])
    assert not count.statements


def test_what_can_make_no_statement_is_refused_before_anything_is_sent(engine: Engine, db: Session) -> None:
    with count_statements(engine) as count:
        with pytest.raises(RowInvalid, match="no columns"):
            copy_rows(db, Tag, [{}])
        with pytest.raises(RowInvalid, match="no columns"):
            copy_rows(db, Tag, [()], [])
        with pytest.raises(ColumnRepeated, match="'name'"):
            copy_rows(db, Tag, [("x", "y")], ["name", "name"])
        with pytest.raises(ColumnRepeated, match="'name'"):
            upsert_rows(db, Tag, [{"name": "x"}], conflict=["name", "name"])
        for rows in ([{"name": "x"}], []):
            with pytest.raises(ConflictMissing):
                upsert_rows(db, Tag, rows, conflict=[])
        for row in ("x", b"x", {"x"}):
            with pytest.raises(RowInvalid, match=f"type {type(row).__name__}"):
                copy_rows(db, Tag, [row], ["name"])  # type: ignore[list-item]
    assert not count.statements


def test_an_error_in_the_middle_leaves_nothing_and_the_session_works_on(db: Session, file: MediaFile) -> None:
    file_id = file.id

    def rows() -> Iterator[tuple[Any, ...]]:
        for number in range(1000):
            yield file_id, number, number + 1, "x"
        raise KeyError("the source broke")

    with pytest.raises(KeyError, match="the source broke"):
        copy_rows(db, TranscriptSegment, rows(), SEGMENT)
    db.rollback()
    assert not _texts(db)
    copy_rows(db, TranscriptSegment, _segments(file, 2), SEGMENT)
    db.commit()
    assert len(_texts(db)) == 2


def test_what_the_server_refuses_is_sqlalchemys_error(db: Session, file: MediaFile) -> None:
    for row, error in [
        ((2**31 - 1, 0, 1, "no such file"), IntegrityError),
        ((None, 5, 6, "no file"), IntegrityError),
        ((file.id, 6, 5, "ends before it starts"), IntegrityError),
        (("one", 0, 1, "a word for a number"), DataError),
    ]:
        with pytest.raises(error), db.begin_nested():
            copy_rows(db, TranscriptSegment, [*_segments(file, 400), row], SEGMENT)
        assert not _texts(db)
    copy_rows(db, TranscriptSegment, _segments(file, 3), SEGMENT)
    assert len(_texts(db)) == 3


def test_rows_that_query_the_same_session_are_refused_and_the_connection_survives(db: Session) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        yield {"name": "first"}
        yield {"name": db.scalar(text("SELECT 'second'"))}

    with pytest.raises(RowsUseSession):
        copy_rows(db, Tag, rows())
    db.rollback()
    assert copy_rows(db, Tag, [{"name": "x"}]) == 1
    assert db.scalar(select(func.count()).where(Tag.name == "x")) == 1


def test_memory_does_not_grow_with_the_rows(db: Session, file: MediaFile) -> None:
    def peak(count: int) -> int:
        file_id = file.id
        tracemalloc.start()
        try:
            copy_rows(db, TranscriptSegment, ((file_id, n, n + 1, f"segment {n}") for n in range(count)), SEGMENT)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1000)
    assert peak(20_000) < peak(2000) * 1.5


def test_an_upsert_inserts_and_updates(db: Session) -> None:
    user = add_user(db)
    copy_rows(db, Speaker, [{"user_id": user.id, "name": "old", "uuid": "a", "verified": True}])
    rows = [{"user_id": user.id, "name": "new", "uuid": uuid} for uuid in ("a", "b")]
    assert upsert_rows(db, Speaker, rows, conflict=["uuid"]) == 2
    found = db.execute(select(Speaker.uuid, Speaker.name, Speaker.verified).order_by(Speaker.uuid))
    assert [tuple(row) for row in found] == [("a", "new", True), ("b", "new", False)]


def test_an_upsert_overwrites_the_named_columns_alone(db: Session) -> None:
    user = add_user(db)
    copy_rows(db, Speaker, [{"user_id": user.id, "name": "old", "display_name": "Old", "uuid": "a"}])
    row = {"user_id": user.id, "name": "new", "display_name": "New", "uuid": "a"}
    assert upsert_rows(db, Speaker, [row], conflict=["uuid"], update=["display_name"]) == 1
    assert db.execute(select(Speaker.name, Speaker.display_name)).one() == ("old", "New")
    assert upsert_rows(db, Speaker, [row, {**row, "uuid": "b"}], conflict=["uuid"], update=[]) == 1
    assert db.scalar(select(Speaker.name).where(Speaker.uuid == "a")) == "old"


def test_a_default_made_for_an_upsert_replaces_nothing(db: Session) -> None:
    user = add_user(db)
    speaker = Speaker(user_id=user.id, name="old")
    db.add(speaker)
    db.flush()
    uuid = speaker.uuid
    upsert_rows(db, Speaker, [{"id": speaker.id, "user_id": user.id, "name": "new"}], conflict=["id"])
    assert db.execute(select(Speaker.name, Speaker.uuid)).one() == ("new", uuid)


def test_of_rows_with_the_same_key_the_last_one_wins(db: Session) -> None:
    user = add_user(db)
    rows = [{"user_id": user.id, "uuid": f"u{number % 7}", "name": f"n{number}"} for number in range(1000)]
    assert upsert_rows(db, Speaker, rows, conflict=["uuid"]) == 7
    assert sorted(db.scalars(select(Speaker.name))) == sorted(f"n{number}" for number in range(993, 1000))


def test_rows_without_a_key_are_all_inserted(db: Session, file: MediaFile) -> None:
    rows = [{"media_file_id": number, "keywords": []} for number in (None, None, file.id, file.id)]
    assert upsert_rows(db, Analytics, rows, conflict=["media_file_id"]) == 3


def test_two_upserts_in_a_transaction_and_the_next_leave_no_table_behind(db: Session) -> None:
    for _ in range(2):
        upsert_rows(db, Tag, [{"name": "x"}, {"name": "y"}], conflict=["name"])
        upsert_rows(db, Tag, [{"name": "y"}, {"name": "z"}], conflict=["name"], update=[])
        assert not db.scalar(text("SELECT count(*) FROM pg_class WHERE relname LIKE 'stage\\_%'"))
        db.commit()
    assert set(db.scalars(select(Tag.name))) >= {"x", "y", "z"}


def test_an_upsert_that_fails_leaves_nothing(db: Session) -> None:
    with pytest.raises(RowInvalid) as caught:
        upsert_rows(db, Tag, [{"name": "x"}, {"name": "\0"}], conflict=["name"])
    assert caught.value.row == 2
    db.rollback()
    with pytest.raises(DataError):
        upsert_rows(db, Tag, [{"name": "x"}, {"name": "y" * 51}], conflict=["name"])
    db.rollback()
    assert upsert_rows(db, Tag, [{"name": "x"}], conflict=["name"]) == 1


def test_upserts_of_the_same_keys_in_opposite_orders_do_not_deadlock(engine: Engine) -> None:
    names = [f"tag {number}" for number in range(2000)]
    failures: list[BaseException] = []
    barrier = threading.Barrier(2)

    def write(order: list[str]) -> None:
        try:
            for _ in range(3):
                barrier.wait(30)
                with Session(engine) as session, session.begin():
                    upsert_rows(session, Tag, [{"name": name} for name in order], conflict=["name"], update=["name"])
        except BaseException as error:  # noqa: BLE001 - shown by the test
            failures.append(error)
            barrier.abort()

    threads = [threading.Thread(target=write, args=(order,)) for order in (names, names[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures


def test_a_connection_lost_during_a_copy_is_noticed(engine: Engine, file: MediaFile, database: URL) -> None:
    administrator = connect.engine_for(database, application_name="tests", poolclass=NullPool)
    file_id = file.id

    def rows(pid: int) -> Iterator[tuple[Any, ...]]:
        yield file_id, 0, 1, "x"
        with administrator.connect() as connection:
            assert connection.scalar(text("SELECT pg_terminate_backend(:pid, 10000)"), {"pid": pid})
        for _ in range(200_000):
            yield file_id, 0, 1, "x"

    with Session(engine) as session:
        pid = session.scalar(text("SELECT pg_backend_pid()"))
        assert pid
        with pytest.raises(OperationalError) as caught:
            copy_rows(session, TranscriptSegment, rows(pid), SEGMENT)
        assert caught.value.connection_invalidated
        session.rollback()
        assert not _texts(session)
    administrator.dispose()
