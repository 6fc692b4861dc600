from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from app.db import bulk, connect
from app.db.watch import count_statements
from app.models import MediaFile, TranscriptSegment, User
from app.services.transcripts import MediaFileMissing, replace_segments
from tests.recordings import add_file, add_user

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import URL, Engine


def _segments(text_: str, count: int = 3) -> list[dict[str, object]]:
    return [{"start_time": n, "end_time": n + 1, "text": f"{text_} {n}"} for n in range(count)]


def _texts(session: Session, file: MediaFile) -> list[str]:
    wanted = select(TranscriptSegment.text).where(TranscriptSegment.media_file_id == file.id)
    return list(session.scalars(wanted.order_by(TranscriptSegment.id)))


@pytest.fixture
def user(session: Session) -> User:
    return add_user(session)


def test_segments_are_replaced_and_other_files_keep_theirs(session: Session, user: User) -> None:
    file, other = add_file(session, user), add_file(session, user)
    for each in (file, other):
        replace_segments(session, each.id, _segments("old", 5))
    assert replace_segments(session, file.id, iter(_segments("new"))) == 3
    assert _texts(session, file) == ["new 0", "new 1", "new 2"]
    assert len(_texts(session, other)) == 5


def test_no_segments_are_a_transcript_too(session: Session, user: User) -> None:
    file = add_file(session, user)
    replace_segments(session, file.id, _segments("old"))
    assert replace_segments(session, file.id, []) == 0
    assert not _texts(session, file)


def test_a_file_that_the_session_holds_shows_its_new_segments(session: Session, user: User) -> None:
    file = add_file(session, user)
    assert file.transcript_segments == []
    replace_segments(session, file.id, _segments("new"))
    assert [segment.text for segment in file.transcript_segments] == ["new 0", "new 1", "new 2"]


def test_a_wrong_segment_leaves_the_old_ones(session: Session, user: User) -> None:
    file = add_file(session, user)
    replace_segments(session, file.id, _segments("old"))
    session.commit()
    with pytest.raises(bulk.RowInvalid) as caught:
        replace_segments(session, file.id, [*_segments("new"), {"start_time": 1, "end_time": 2}])
    assert caught.value.row == 4
    session.rollback()
    assert _texts(session, file) == ["old 0", "old 1", "old 2"]


def test_a_segment_cannot_slip_into_another_file(session: Session, user: User) -> None:
    file, other = add_file(session, user), add_file(session, user)
    replace_segments(session, file.id, [{**segment, "media_file_id": other.id} for segment in _segments("x")])
    assert (len(_texts(session, file)), len(_texts(session, other))) == (3, 0)


def test_a_file_that_is_gone_is_named(session: Session) -> None:
    with pytest.raises(MediaFileMissing, match="12345"):
        replace_segments(session, 12345, _segments("x"))


def test_of_two_that_replace_at_once_only_one_ones_segments_stay(
    session: Session, user: User, database: URL, as_role: Callable[[URL, str], URL]
) -> None:
    file = add_file(session, user)
    replace_segments(session, file.id, _segments("old"))
    session.commit()
    engine = connect.engine_for(as_role(database, "app_rw"), application_name="tests", poolclass=NullPool)
    replace_segments(session, file.id, _segments("first"))
    thread = threading.Thread(target=_replace_in_a_session_of_its_own, args=(engine, file.id))
    thread.start()
    _wait_until_somebody_waits_for_a_lock(database)
    session.commit()
    thread.join(30)
    engine.dispose()
    assert _texts(session, file) == ["second 0", "second 1", "second 2"]


def _replace_in_a_session_of_its_own(engine: Engine, file_id: int) -> None:
    with Session(engine) as session, session.begin():
        replace_segments(session, file_id, _segments("second"))


def _wait_until_somebody_waits_for_a_lock(database: URL) -> None:
    with connect.direct(database, "tests") as connection:
        while not connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")):
            pass


def test_replacing_takes_the_same_number_of_statements_whatever_the_number_of_segments(
    session: Session, user: User
) -> None:
    file_id = add_file(session, user).id
    counts = []
    for number in (1, 2000):
        with count_statements(session.get_bind()) as count:  # type: ignore[arg-type]
            replace_segments(session, file_id, _segments("x", number))
        counts.append(len(count))
    assert counts == [3, 3]
