"""Searching a user's recordings by the words of their names, titles, summaries and transcripts.

A file is found when all words are in its name, title and summary together, or all in one of its segments. The language
of a query is that of web search engines: `"a phrase"`, `or`, `-without`. Newest files come first: ranking by relevance
would have to read every match again, and there may be hundreds of thousands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime  # noqa: TC003 - the API reads the annotations of Hit when it runs
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    DateTime,
    Float,
    Integer,
    and_,
    bindparam,
    func,
    literal_column,
    null,
    or_,
    select,
    true,
    tuple_,
    union_all,
)

from app.db import errors
from app.db.paging import MAX_LIMIT, LimitInvalid, Page, read_cursor, write_cursor
from app.models.media import (
    MEDIA_FILE_DOCUMENT,
    SEARCH_CONFIG,
    SEGMENT_DOCUMENT,
    MediaFile,
    Speaker,
    TranscriptSegment,
)
from app.services.filters import EVERYTHING, FileFilter

if TYPE_CHECKING:
    from sqlalchemy import ColumnClause, ColumnElement, Select, Subquery
    from sqlalchemy.orm import Session

MAX_QUERY_CHARACTERS = 1000
_HEADLINE: ColumnClause[str] = literal_column('\'StartSel="", StopSel="", MinWords=12, MaxWords=30\'')
_INSIDE_A_NAME = re.compile(r"(?<=\w)[._-]+(?=\w)")


class QueryTooLong(errors.BadInput):
    """More text than anybody searches for."""

    def __init__(self, characters: int) -> None:
        super().__init__(
            f"a search of {characters} characters is too long", f"use {MAX_QUERY_CHARACTERS} characters or fewer"
        )


@dataclass(frozen=True)
class Hit:
    """A file that was found; without a title it goes by its name. `snippet` is plain text around the first match."""

    id: int
    title: str
    speakers: list[str]
    snippet: str
    upload_time: datetime


def search(  # noqa: PLR0913 - whose, what, among which, and which page
    session: Session,
    user_id: int,
    q: str,
    wanted: FileFilter = EVERYTHING,
    *,
    limit: int | None = None,
    cursor: str | None = None,
) -> Page[Hit]:
    """The user's files that `q` finds among those that are wanted, newest first, a page of them, in one statement.

    Nothing is found by a query without a word, nor by one that only excludes words. Raises `QueryTooLong`,
    `LimitInvalid`, `CursorInvalid`.
    """
    if len(q) > MAX_QUERY_CHARACTERS:
        raise QueryTooLong(len(q))
    if limit is not None and not 1 <= limit <= MAX_LIMIT:
        raise LimitInvalid(limit)
    place = read_cursor(cursor, _ORDER) if cursor is not None else (None, None)
    words = _writable(q)
    if not words.strip():
        return Page([], None)
    given = parameters(user_id, words, None if limit is None else limit + 1)
    given |= zip(("before_time", "before_id"), place, strict=True)
    hits = [Hit(**row) for row in session.execute(statement(wanted), given).mappings()]
    shown = hits[:limit]
    more = len(hits) > len(shown)
    return Page(shown, write_cursor(_ORDER, (shown[-1].upload_time, shown[-1].id)) if more else None)


def parameters(user_id: int, words: str, limit: int | None) -> dict[str, Any]:
    """What `statement()` is executed with."""
    names = {"words": words, "name_words": _INSIDE_A_NAME.sub(" ", words)}
    return {"user_id": user_id, "limit": limit, "before_time": None, "before_id": None} | names


def statement(wanted: FileFilter = EVERYTHING) -> Select[Any]:
    """The statement of `search`; without a filter it is made once, since it takes longer to make than to run."""
    return _STATEMENT if wanted == EVERYTHING else _made_statement(*wanted.conditions())


def _writable(q: str) -> str:
    """The query without what PostgreSQL's text can't hold, none of which is part of a word."""
    return q.replace("\0", " ").encode(errors="replace").decode()


def _query(name: str) -> ColumnElement[Any]:
    return func.websearch_to_tsquery(SEARCH_CONFIG, bindparam(name))


def _finds(query: ColumnElement[Any], document: ColumnElement[Any]) -> tuple[ColumnElement[bool], ...]:
    """That the query matches, and that an index can tell: `-word` alone would have to read everything.

    `querytree` is T for those, empty without a word, and otherwise words in quotes: three characters or more.
    """
    return document.op("@@", is_comparison=True)(query), func.length(func.querytree(query)) > literal_column("1")


def _made_statement(*conditions: ColumnElement[bool]) -> Select[Any]:
    mine = and_(MediaFile.user_id == bindparam("user_id", type_=Integer), *conditions)
    said = (
        select(MediaFile.id, MediaFile.upload_time, func.min(TranscriptSegment.start_time).label("moment"))
        .join(TranscriptSegment)
        .where(mine, *_finds(_query("words"), SEGMENT_DOCUMENT))
        .group_by(MediaFile.id)
    )
    named = select(MediaFile.id, MediaFile.upload_time, null().cast(Float)).where(
        mine, *_finds(_query("name_words"), MEDIA_FILE_DOCUMENT)
    )
    either = union_all(said, named).subquery()
    newest = (
        select(either.c.id, either.c.upload_time, func.min(either.c.moment).label("moment"))
        .where(_before(either))
        .group_by(either.c.id, either.c.upload_time)
        .order_by(either.c.upload_time.desc(), either.c.id.desc())
        .limit(bindparam("limit", type_=Integer))
        .cte("newest")
        .prefix_with("MATERIALIZED")
    )
    return _shown(newest)


def _before(found: Subquery) -> ColumnElement[bool]:
    """That a file comes after the place of the cursor, if there is one."""
    time, media_file_id = bindparam("before_time", type_=DateTime(timezone=True)), bindparam("before_id", type_=Integer)
    return or_(media_file_id.is_(None), tuple_(found.c.upload_time, found.c.id) < tuple_(time, media_file_id))


def _shown(newest: Any) -> Select[Any]:  # noqa: ANN401 - a CTE's columns have no types
    """What is read of the files that are shown, and of no others."""
    segment = (
        select(TranscriptSegment.text)
        .where(TranscriptSegment.media_file_id == newest.c.id, TranscriptSegment.start_time == newest.c.moment)
        .where(*_finds(_query("words"), SEGMENT_DOCUMENT))
        .order_by(TranscriptSegment.id)
        .limit(1)
        .scalar_subquery()
    )
    names = (
        select(func.coalesce(Speaker.display_name, Speaker.name))
        .join(TranscriptSegment, TranscriptSegment.speaker_id == Speaker.id)
        .where(TranscriptSegment.media_file_id == newest.c.id)
        .distinct()
        .order_by(func.coalesce(Speaker.display_name, Speaker.name))
    )
    title = func.coalesce(func.nullif(MediaFile.title, ""), MediaFile.filename)
    about = func.concat_ws(" ", MediaFile.title, MediaFile.filename, MediaFile.summary)
    # By LIMIT it can't become a join, for which a small table would be read as a whole.
    file = select(title.label("title"), about.label("about")).where(MediaFile.id == newest.c.id).limit(1).lateral()
    text = func.coalesce(segment, file.c.about)
    return (
        select(
            newest.c.id,
            file.c.title,
            func.array(names.scalar_subquery()).label("speakers"),
            func.ts_headline(SEARCH_CONFIG, text, _query("words"), _HEADLINE).label("snippet"),
            newest.c.upload_time,
        )
        .join_from(newest, file, true())
        .order_by(newest.c.upload_time.desc(), newest.c.id.desc())
    )


_ORDER = (MediaFile.upload_time.desc(), MediaFile.id.desc())
_STATEMENT = _made_statement()
