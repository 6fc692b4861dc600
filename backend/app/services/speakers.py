"""The voices that a user has named, and making one of two."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, select, update

from app.db import errors
from app.db.paging import Page, page
from app.models import MediaFile, Speaker, TranscriptSegment
from app.services import analytics
from app.services.errors import Missing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Select
    from sqlalchemy.orm import Session

    from app.schemas.media import SpeakerCreate, SpeakerUpdate


class SpeakerMissing(Missing):
    """The user has no such speaker (any more)."""

    def __init__(self, speaker_id: int) -> None:
        super().__init__("speaker", speaker_id)


class MergedWithItself(errors.BadInput):
    """Both are the same speaker."""

    def __init__(self, speaker_id: int) -> None:
        super().__init__(f"speaker {speaker_id} can't be merged with itself", "name another one as the target")


def listing(session: Session, user_id: int, *, limit: int | None = None, cursor: str | None = None) -> Page[Speaker]:
    """The user's speakers, oldest first."""
    return page(session, _all_of(user_id), [Speaker.id], limit=limit, cursor=cursor)


def one(session: Session, user_id: int, speaker_id: int) -> Speaker:
    """The user's speaker. Raises `SpeakerMissing`."""
    found = session.scalar(_all_of(user_id).where(Speaker.id == speaker_id))
    if found is None:
        raise SpeakerMissing(speaker_id)
    return found


def create(session: Session, user_id: int, new: SpeakerCreate) -> Speaker:
    """A new speaker of the user, flushed and not committed."""
    speaker = Speaker(user_id=user_id, **new.model_dump())
    session.add(speaker)
    session.flush()
    return speaker


def change(session: Session, user_id: int, speaker_id: int, changes: SpeakerUpdate) -> Speaker:
    """The speaker with these changes, flushed and not committed. Raises `SpeakerMissing`."""
    (speaker,) = _locked(session, user_id, [speaker_id])
    for name, value in changes.model_dump().items():
        setattr(speaker, name, value)
    session.flush()
    return speaker


def remove(session: Session, user_id: int, speaker_id: int) -> None:
    """Deletes the speaker, not committed; what it said stays, said by nobody. Raises `SpeakerMissing`."""
    files = _lock_files_of(session, user_id, speaker_id)
    gone = delete(Speaker).where(Speaker.id == speaker_id, Speaker.user_id == user_id).returning(Speaker.id)
    if session.scalar(gone) is None:
        raise SpeakerMissing(speaker_id)
    _count_again(session, files)


def merge(session: Session, user_id: int, speaker_id: int, target_id: int) -> Speaker:
    """Has the target say what the speaker said, and deletes the speaker, not committed; returns the target.

    While both rows are locked nobody else merges them or gives them segments, so none is left behind.
    Raises `SpeakerMissing`, `MergedWithItself`.
    """
    if speaker_id == target_id:
        one(session, user_id, speaker_id)
        raise MergedWithItself(speaker_id)
    _lock_files_of(session, user_id, speaker_id)
    _, target = _locked(session, user_id, [speaker_id, target_id])
    moved = update(TranscriptSegment).where(TranscriptSegment.speaker_id == speaker_id).values(speaker_id=target_id)
    files = session.scalars(moved.returning(TranscriptSegment.media_file_id)).all()
    session.execute(delete(Speaker).where(Speaker.id == speaker_id))
    _count_again(session, files)
    return target


def _all_of(user_id: int) -> Select[Speaker]:
    return select(Speaker).where(Speaker.user_id == user_id)


def _lock_files_of(session: Session, user_id: int, speaker_id: int) -> Sequence[int]:
    """Locks the files in which the speaker speaks, and returns their ids.

    Whoever writes a transcript locks its file before its speakers. In the same order nobody waits for the other.
    """
    spoken = select(TranscriptSegment.media_file_id).where(TranscriptSegment.speaker_id == speaker_id)
    files = select(MediaFile.id).where(MediaFile.user_id == user_id, MediaFile.id.in_(spoken)).order_by(MediaFile.id)
    return session.scalars(files.with_for_update(key_share=True)).all()


def _count_again(session: Session, media_file_ids: Sequence[int]) -> None:
    """Brings up to date who spoke how long."""
    for media_file_id in sorted(set(media_file_ids)):
        analytics.refresh(session, media_file_id)


def _locked(session: Session, user_id: int, ids: Sequence[int]) -> list[Speaker]:
    """The user's speakers of these ids, in this order, locked until the transaction ends. Raises `SpeakerMissing`."""
    stmt = _all_of(user_id).where(Speaker.id.in_(ids)).order_by(Speaker.id).with_for_update()
    found = {speaker.id: speaker for speaker in session.scalars(stmt.execution_options(populate_existing=True))}
    for speaker_id in ids:
        if speaker_id not in found:
            raise SpeakerMissing(speaker_id)
    return [found[speaker_id] for speaker_id in ids]
