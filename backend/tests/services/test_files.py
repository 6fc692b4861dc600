from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select, text

from app.db.paging import CursorInvalid
from app.db.watch import count_statements
from app.models import FileTag, Tag, User
from app.services.files import listing
from tests.recordings import add_file, add_user

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


@pytest.fixture
def user(session: Session) -> User:
    return add_user(session)


def test_files_come_newest_first_with_their_tags_page_by_page(session: Session, user: User) -> None:
    stranger = add_user(session)
    tags = list(session.scalars(select(Tag).order_by(Tag.name)))
    files = [add_file(session, user, upload_time=func.now() + text(f"interval '{n // 2} days'")) for n in range(7)]
    add_file(session, stranger)
    session.add_all(FileTag(media_file_id=file.id, tag_id=tag.id) for file in files for tag in reversed(tags))
    session.commit()
    seen, cursor = [], None
    while True:
        found = listing(session, user.id, limit=3, cursor=cursor)
        seen += found.rows
        cursor = found.next_cursor
        if cursor is None:
            break
    assert [file.id for file in seen] == [file.id for file in reversed(files)]
    assert {tuple(tag.name for tag in file.tags) for file in seen} == {
        ("Important", "Interview", "Meeting", "Personal")
    }
    assert len(listing(session, user.id).rows) == 7
    with pytest.raises(CursorInvalid):
        listing(session, user.id, cursor="somebody's")


def test_a_listing_takes_two_statements_whatever_its_length(session: Session, user: User) -> None:
    user_id, tag_id = user.id, session.scalar(select(Tag.id).limit(1))
    counts = []
    for _ in range(2):
        files = [add_file(session, user) for _ in range(20)]
        session.add_all(FileTag(media_file_id=file.id, tag_id=tag_id) for file in files)
        session.commit()
        session.expunge_all()
        with count_statements(session.get_bind()) as count:  # type: ignore[arg-type]
            found = listing(session, user_id, limit=100)
            assert all(tag.name for file in found.rows for tag in file.tags)
        assert not count.repeated()
        counts.append(len(count))
        user = session.get_one(User, user_id)
    assert counts == [2, 2]
