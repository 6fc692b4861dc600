from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, func, select, text
from sqlalchemy.orm import Session, aliased

from app.db.bulk import copy_rows
from app.db.paging import MAX_LIMIT, CursorInvalid, LimitInvalid, OrderInvalid, page
from app.models import Comment, MediaFile, Speaker, Tag, Task, TranscriptSegment, User
from tests.recordings import add_user

if TYPE_CHECKING:
    from collections.abc import Iterator


NOWHERE = Session()
"""What is refused before anything is asked needs no server."""

START = datetime(2025, 1, 1, tzinfo=UTC)
NEWEST = (MediaFile.upload_time.desc(), MediaFile.id.desc())
ORDERS = {
    "newest first": NEWEST,
    "oldest first": (MediaFile.upload_time.asc(), MediaFile.id),
    "newest first, ids upwards": (MediaFile.upload_time.desc(), MediaFile.id.asc()),
    "by size, newest first": (MediaFile.file_size.asc(), MediaFile.upload_time.desc(), MediaFile.id.asc()),
    "by name": (MediaFile.filename, MediaFile.id.desc()),
}


@pytest.fixture
def user(session: Session) -> User:
    return add_user(session)


def _add(session: Session, user: User, moments: list[int], name: str = "f") -> None:
    """Files at these microseconds, with a size and a name that many of them share."""
    rows = [
        {
            "filename": f"{name} {moment % 3}",
            "storage_path": "s",
            "file_size": moment % 2,
            "content_type": "audio/wav",
            "user_id": user.id,
            "upload_time": START + timedelta(microseconds=moment),
        }
        for moment in moments
    ]
    copy_rows(session, MediaFile, rows)


def _pages(session: Session, order: Any, limit: int, between: Any = None) -> Iterator[list[int]]:  # noqa: ANN401
    """The ids on each page; `between` is called between two."""
    cursor = None
    while True:
        found = page(session, select(MediaFile), order, limit=limit, cursor=cursor)
        yield [file.id for file in found.rows]
        cursor = found.next_cursor
        if cursor is None:
            return
        if between:
            between()


def _ids(session: Session, order: Any) -> list[int]:  # noqa: ANN401
    return list(session.scalars(select(MediaFile.id).order_by(*order)))


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS.keys())
def test_pages_together_are_the_listing(session: Session, user: User, order: Any) -> None:  # noqa: ANN401
    _add(session, user, [number // 4 for number in range(50)])
    for limit in (1, 7, 25, 49, 50, 51):
        pages = list(_pages(session, order, limit))
        assert [id_ for ids in pages for id_ in ids] == _ids(session, order)
        assert [len(ids) for ids in pages[:-1]] == [limit] * (len(pages) - 1)
        assert pages[-1]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    first=st.lists(st.integers(0, 12), min_size=1, max_size=25),
    later=st.lists(st.tuples(st.lists(st.integers(-5, 17), max_size=4), st.integers(0, 30)), max_size=12),
    limit=st.integers(1, 6),
    order=st.sampled_from(sorted(ORDERS)),
)
@example(first=[5] * 9, later=[([5, 5], 0)] * 5, limit=2, order="newest first")
def test_what_is_there_all_the_time_is_shown_once(  # noqa: PLR0913, PLR0917 - fixtures and examples
    session: Session, user: User, first: list[int], later: list[tuple[list[int], int]], limit: int, order: str
) -> None:
    with session.begin_nested() as savepoint:
        _add(session, user, first)
        stayed = set(_ids(session, NEWEST))
        changes = iter(later)

        def others_write() -> None:
            moments, gone = next(changes, ([], 0))
            _add(session, user, moments)
            victims = sorted(stayed)[gone : gone + 1] if len(stayed) > 1 else []
            session.execute(text("DELETE FROM media_file WHERE id = ANY(:ids)"), {"ids": victims})
            stayed.difference_update(victims)

        seen = [id_ for ids in _pages(session, ORDERS[order], limit, others_write) for id_ in ids]
        assert len(seen) == len(set(seen))
        assert stayed <= set(seen)
        savepoint.rollback()
    session.expunge_all()


def test_an_empty_listing_is_one_page(session: Session) -> None:
    found = page(session, select(MediaFile), NEWEST, limit=10)
    assert (found.rows, found.next_cursor) == ([], None)


def test_without_a_limit_everything_comes(session: Session, user: User) -> None:
    _add(session, user, list(range(30)))
    cursor = page(session, select(MediaFile), NEWEST, limit=10).next_cursor
    assert len(page(session, select(MediaFile), NEWEST, limit=None).rows) == 30
    assert len(page(session, select(MediaFile), NEWEST, limit=None, cursor=cursor).rows) == 20


def test_microseconds_and_other_time_zones_of_the_session_keep_their_place(session: Session, user: User) -> None:
    session.execute(text("SET LOCAL TIME ZONE 'Asia/Kathmandu'"))
    _add(session, user, [1, 2, 3, 4])
    assert [id_ for ids in _pages(session, NEWEST, 1) for id_ in ids] == _ids(session, NEWEST)


def test_a_place_is_the_rows_in_the_database_not_the_sessions_older_copy(session: Session, user: User) -> None:
    _add(session, user, [1, 2, 3, 4])
    held = list(session.scalars(select(MediaFile).order_by(*NEWEST)))
    session.execute(text("UPDATE media_file SET upload_time = upload_time + interval '1 day'"))
    assert [id_ for ids in _pages(session, NEWEST, 2) for id_ in ids] == [file.id for file in held]


def test_texts_as_keys_may_hold_anything(session: Session) -> None:
    names = ["", "'", '"', "\\", "ä", "Z", "😀", "%", "a\nb"]
    copy_rows(session, Tag, [{"name": name} for name in names])
    expected = list(session.scalars(select(Tag.name).order_by(Tag.name)))
    cursor, seen = None, []
    while True:
        found = page(session, select(Tag), [Tag.name], limit=2, cursor=cursor)
        seen += [tag.name for tag in found.rows]
        cursor = found.next_cursor
        if cursor is None:
            break
    assert seen == expected


def test_rows_may_be_one_column(session: Session, user: User) -> None:
    _add(session, user, [1, 2, 3])
    found = page(session, select(MediaFile.filename).where(MediaFile.user_id == user.id), NEWEST, limit=2)
    assert found.rows == ["f 0", "f 2"]


@pytest.fixture
def cursor(session: Session, user: User) -> str:
    _add(session, user, list(range(10)))
    found = page(session, select(MediaFile), NEWEST, limit=3).next_cursor
    assert found
    return found


def test_a_cursor_can_stand_in_an_address_as_it_is(cursor: str) -> None:
    assert set(cursor) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_a_cursor_that_was_changed_anywhere_is_refused(session: Session, cursor: str) -> None:
    for place in range(len(cursor)):
        for other in {"A", "z", "_"} - {cursor[place]}:
            changed = f"{cursor[:place]}{other}{cursor[place + 1 :]}"
            if base64.urlsafe_b64decode(changed + "==") == base64.urlsafe_b64decode(cursor + "=="):
                continue  # the last character has bits that mean nothing
            with pytest.raises(CursorInvalid):
                page(session, select(MediaFile), NEWEST, limit=3, cursor=changed)


@pytest.mark.parametrize("garbage", ["", " ", "x", "AAAA", "ä", "\0", "null", "e30", "'; DROP TABLE", "A" * 100_000])
def test_garbage_is_no_cursor(garbage: str) -> None:
    with pytest.raises(CursorInvalid) as caught:
        page(NOWHERE, select(MediaFile), NEWEST, limit=3, cursor=garbage)
    assert caught.value.exit_code == 2
    assert caught.value.what
    assert caught.value.hint


@settings(max_examples=300, deadline=None)
@given(garbage=st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_any_garbage_is_refused_in_words(garbage: str) -> None:
    with pytest.raises(CursorInvalid):
        page(NOWHERE, select(MediaFile), NEWEST, limit=3, cursor=garbage)


def test_a_cursor_of_another_listing_is_refused(session: Session, cursor: str) -> None:
    assert page(session, select(MediaFile), NEWEST, limit=3, cursor=cursor).rows
    for entity, order in [
        (MediaFile, (MediaFile.upload_time.asc(), MediaFile.id.desc())),
        (MediaFile, (MediaFile.upload_time.desc(), MediaFile.id.asc())),
        (MediaFile, (MediaFile.id.desc(),)),
        (Task, (Task.created_at.desc(), Task.id.desc())),
    ]:
        with pytest.raises(CursorInvalid):
            page(session, select(entity), order, limit=3, cursor=cursor)


@pytest.mark.parametrize("limit", [0, -1, MAX_LIMIT + 1, 10**30])
def test_a_page_has_bounds(limit: int) -> None:
    with pytest.raises(LimitInvalid):
        page(NOWHERE, select(MediaFile), NEWEST, limit=limit)


@pytest.mark.parametrize(
    ("order", "reason"),
    [
        ((), "empty"),
        ((MediaFile.title, MediaFile.id), "null"),
        ((MediaFile.duration.desc(), MediaFile.id), "null"),
        ((MediaFile.upload_time,), "several rows"),
        ((MediaFile.id, MediaFile.upload_time), "several rows"),
        ((TranscriptSegment.media_file_id,), "several rows"),
        ((Comment.created_at.desc(), Comment.id), "null"),
        ((MediaFile.id.desc().nulls_last(),), "asc"),
        ((func.lower(MediaFile.filename), MediaFile.id), "no column"),
        ((text("id"),), "no column"),
        ((aliased(MediaFile).id,), "several rows"),
    ],
)
def test_an_order_without_certain_places_is_refused(order: Any, reason: str) -> None:  # noqa: ANN401
    with pytest.raises(OrderInvalid, match=reason):
        page(NOWHERE, select(MediaFile), order, limit=3)


def test_a_unique_column_will_do_for_the_last(session: Session) -> None:
    assert page(session, select(Tag), [Tag.name.desc()], limit=2).rows[0].name == "Personal"
    assert page(session, select(Speaker), [Speaker.uuid], limit=2).rows == []


@pytest.mark.parametrize("order", [NEWEST, ORDERS["newest first, ids upwards"]], ids=["one direction", "two"])
def test_a_late_page_begins_in_the_index(session: Session, user: User, order: Any) -> None:  # noqa: ANN401
    _add(session, user, list(range(20_000)))
    cursor = None
    mine = select(MediaFile).where(MediaFile.user_id == user.id)
    for _ in range(15):
        cursor = page(session, mine, order, limit=1000, cursor=cursor).next_cursor
    statements: list[tuple[str, Any]] = []

    def note(_c: object, _cursor: object, statement: str, parameters: object, _x: object, _many: object) -> None:
        statements.append((statement, parameters))

    event.listen(session.connection(), "before_cursor_execute", note)
    page(session, mine, order, limit=10, cursor=cursor)
    event.remove(session.connection(), "before_cursor_execute", note)
    ((statement, parameters),) = statements
    session.execute(text("SET LOCAL enable_seqscan = off"))
    plan = session.connection().exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters).scalar_one()
    read = plan[0]["Plan"]["Plans"][0]
    assert _rows_touched(read) < 100, plan


def _rows_touched(node: dict[str, Any]) -> float:
    """Rows that the scans below read, with those that they threw away."""
    below = sum(map(_rows_touched, node.get("Plans", [])))
    return below + float(node["Actual Rows"]) + float(node.get("Rows Removed by Filter", 0))
