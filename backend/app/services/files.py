"""A user's recordings: listing, reading, changing and deleting them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import Float, delete, func, select
from sqlalchemy.orm import defer, selectinload

from app.db.paging import Page, page
from app.models import MediaFile, Speaker, Task, TranscriptSegment
from app.services import work
from app.services.filters import EVERYTHING, FileFilter
from app.services.transcripts import MediaFileMissing
from app.storage.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.orm import Session

    from app.schemas.media import MediaFileUpdate
    from app.storage.media_store import MediaStore

_LISTED = ("media_format", "codec", "content_type", "language", "status")
_RANGED = ("duration", "file_size", "upload_time", "resolution_width", "resolution_height", "frame_rate")
_log = structlog.stdlib.get_logger("app.files")


def listing(
    session: Session,
    user_id: int,
    wanted: FileFilter = EVERYTHING,
    *,
    limit: int | None = None,
    cursor: str | None = None,
) -> Page[MediaFile]:
    """The user's recordings, newest first, with their tags loaded, in two statements (one more for every 500 rows)."""
    stmt = select(MediaFile).where(MediaFile.user_id == user_id, *wanted.conditions())
    order = [MediaFile.upload_time.desc(), MediaFile.id.desc()]
    return page(session, stmt.options(selectinload(MediaFile.tags)), order, limit=limit, cursor=cursor)


def owned(session: Session, user_id: int, media_file_id: int) -> MediaFile:
    """The user's recording, with its row locked until the transaction ends. Raises `MediaFileMissing`."""
    return _one(session, _of(user_id, media_file_id).with_for_update(key_share=True), media_file_id)


def require(session: Session, user_id: int, media_file_id: int) -> None:
    """Raises `MediaFileMissing` unless it is the user's; until the transaction ends nobody deletes it."""
    found = select(MediaFile.id).where(MediaFile.id == media_file_id, MediaFile.user_id == user_id)
    if session.scalar(found.with_for_update(read=True, key_share=True)) is None:
        raise MediaFileMissing(media_file_id)


def detail(session: Session, user_id: int, media_file_id: int) -> MediaFile:
    """The user's recording with its tags, and its segments with their speakers, in four statements.

    Raises `MediaFileMissing`.
    """
    speakers = selectinload(MediaFile.transcript_segments).selectinload(TranscriptSegment.speaker)
    stmt = _of(user_id, media_file_id).options(
        selectinload(MediaFile.tags), speakers.options(defer(Speaker.embedding_vector))
    )
    return _one(session, stmt, media_file_id)


def update(session: Session, user_id: int, media_file_id: int, changes: MediaFileUpdate) -> MediaFile:
    """The recording with these changes, flushed and not committed. Raises `MediaFileMissing`."""
    file = owned(session, user_id, media_file_id)
    for name, value in changes.model_dump().items():
        setattr(file, name, value)
    session.flush()
    return file


def remove(session: Session, user_id: int, media_file_id: int) -> str:
    """Deletes the recording with all that belongs to it, not committed; returns where its bytes are.

    The caller deletes those after the commit: a row without its bytes would be worse than bytes without a row.
    Raises `MediaFileMissing`.
    """
    gone = delete(MediaFile).where(MediaFile.id == media_file_id, MediaFile.user_id == user_id)
    path: str | None = session.scalar(gone.returning(MediaFile.storage_path))
    if path is None:
        raise MediaFileMissing(media_file_id)
    return path


def delete_bytes(store: MediaStore, paths: Iterable[str]) -> None:
    """Deletes the bytes of files whose rows are gone. What fails is logged: there is nobody left who could do more."""
    for path in paths:
        try:
            store.delete(path)
        except StoreError as error:
            _log.warning("bytes of a deleted file stay behind", key=path, reason=error.what)


def transcribe_again(session: Session, user_id: int, media_file_id: int) -> Task:
    """A new task for the recording, flushed and not committed; the caller sends it after that.

    Raises `MediaFileMissing`, and `TaskUnfinished` while it has one.
    """
    owned(session, user_id, media_file_id)
    return work.enqueue(session, user_id, media_file_id)


def metadata_filters(session: Session, user_id: int) -> dict[str, Any]:
    """What the user's recordings can be filtered by: the values of some columns, the least and most of others."""
    columns = MediaFile.__table__.c
    values = [
        func.array_agg(columns[name].distinct()).filter(columns[name].is_not(None)).label(name) for name in _LISTED
    ]
    ends = [end(columns[name]).filter(_speakable(columns[name])) for name in _RANGED for end in (func.min, func.max)]
    row = session.execute(select(*values, *ends).where(MediaFile.user_id == user_id)).one()
    lists = {name: value or [] for name, value in zip(_LISTED, row, strict=False)}
    least_and_most = row[len(_LISTED) :]
    ranges = {
        name: {"min": least, "max": most}
        for name, least, most in zip(_RANGED, least_and_most[::2], least_and_most[1::2], strict=True)
    }
    return lists | ranges


def _speakable(column: ColumnElement[Any]) -> ColumnElement[bool]:
    """Neither NaN nor infinite, which old rows may hold and JSON can't."""
    if isinstance(column.type, Float):
        return column.between(float("-1e308"), float("1e308"))
    return column.is_not(None)


def _of(user_id: int, media_file_id: int) -> Select[MediaFile]:
    return select(MediaFile).where(MediaFile.id == media_file_id, MediaFile.user_id == user_id)


def _one(session: Session, stmt: Select[MediaFile], media_file_id: int) -> MediaFile:
    file = session.scalar(stmt.execution_options(populate_existing=True))
    if file is None:
        raise MediaFileMissing(media_file_id)
    return file
