"""A late page of a user's files against the first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.db.bulk import copy_rows
from app.db.paging import MAX_LIMIT, page
from app.models import MediaFile
from app.services.files import listing
from bench.figures import Clock, take_turns
from bench.places import engine_on, run
from tests.recordings import add_user
from tests.servers import HEAD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.figures import Bench

PAGE_ROWS = 20
PAGE = 10_000
ROUNDS = 300
COLUMNS = ("user_id", "filename", "storage_path", "file_size", "content_type", "upload_time")


def measure(bench: Bench) -> None:
    """Page 1 and page 10,000 of the listing by turns; OFFSET beside them, once."""
    clock = Clock()
    with bench.server.clone(HEAD) as url, engine_on(url) as engine, Session(engine) as session:
        user_id = add_user(session).id
        copy_rows(session, MediaFile, _files(user_id, (PAGE + 1) * PAGE_ROWS), COLUMNS)
        session.commit()
        run(url, "VACUUM ANALYZE media_file")
        cursor = _cursor_of_page(session, user_id)
        first = partial(_page, clock, "1", session, user_id, None)
        late = partial(_page, clock, "late", session, user_id, cursor)
        for turn in range(ROUNDS):
            take_turns(turn, first, late)
        with clock.time("offset"):
            _by_offset(session, user_id)
    names = {"1": "page 1", "late": f"page {PAGE:,}", "offset": f"page {PAGE:,} by OFFSET, for comparison"}
    times = {name: clock.median_ms(key) for key, name in names.items()}
    rows = [(name, median, median / times["page 1"]) for name, median in times.items()]
    title = f"A listing of {PAGE_ROWS * (PAGE + 1):,} files, {PAGE_ROWS} a page, with tags (goal: ratio 1.5 or less)"
    bench.add(title, ("", "median ms", "ratio to page 1"), rows)


def _files(user_id: int, count: int) -> Iterator[tuple[Any, ...]]:
    start = datetime(2020, 1, 1, tzinfo=UTC)
    for number in range(count):
        name = f"recording {number}.mp3"
        yield user_id, name, f"user_{user_id}/{name}", number, "audio/mpeg", start + timedelta(minutes=number // 3)


def _cursor_of_page(session: Session, user_id: int) -> str | None:
    """The cursor that shows the late page; taken in large steps."""
    mine = select(MediaFile.id).where(MediaFile.user_id == user_id)
    order = [MediaFile.upload_time.desc(), MediaFile.id.desc()]
    cursor, rows = None, (PAGE - 1) * PAGE_ROWS
    while rows:
        step = min(rows, MAX_LIMIT)
        cursor = page(session, mine, order, limit=step, cursor=cursor).next_cursor
        rows -= step
    return cursor


def _page(clock: Clock, name: str, session: Session, user_id: int, cursor: str | None) -> None:
    session.expunge_all()
    with clock.time(name):
        found = listing(session, user_id, limit=PAGE_ROWS, cursor=cursor)
    if len(found.rows) != PAGE_ROWS:
        raise AssertionError("that page isn't full")


def _by_offset(session: Session, user_id: int) -> None:
    mine = select(MediaFile).where(MediaFile.user_id == user_id)
    mine = mine.order_by(MediaFile.upload_time.desc(), MediaFile.id.desc())
    session.scalars(mine.offset((PAGE - 1) * PAGE_ROWS).limit(PAGE_ROWS)).all()
