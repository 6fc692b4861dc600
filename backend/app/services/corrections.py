"""Corrections of a transcript: times, words and speakers of single segments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from app.db import errors
from app.models import Speaker, TranscriptSegment
from app.services import analytics, files
from app.services.errors import Missing
from app.services.speakers import SpeakerMissing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.orm import Session

    from app.schemas.media import TranscriptSegmentUpdate


class SegmentMissing(Missing):
    """The file's transcript has no such segment (any more)."""

    def __init__(self, media_file_id: int, segment_id: int) -> None:
        super().__init__("segment", f"{segment_id} in file {media_file_id}", "read the file's transcript again")


class EndsBeforeItsStart(errors.BadInput):
    """A change would have left a segment with its end before its start."""

    def __init__(self, segment_id: int) -> None:
        super().__init__(f"segment {segment_id} can't end before its start", "change both of its times")


def change(session: Session, user_id: int, media_file_id: int, changes: Sequence[TranscriptSegmentUpdate]) -> None:
    """Changes segments of the user's file, one after the other, flushed and not committed. All of them, or none.

    The file's row stays locked until the transaction ends, as in `replace_segments`. Raises `MediaFileMissing`,
    `SegmentMissing`, `SpeakerMissing`, `EndsBeforeItsStart`.
    """
    files.owned(session, user_id, media_file_id)
    segments = _segments(session, media_file_id, {change.id for change in changes})
    given = [(segments[change.id], change.model_dump(exclude={"id"})) for change in changes]
    _require_speakers(session, user_id, {values.get("speaker_id") for _, values in given} - {None})
    for segment, values in given:
        for name, value in values.items():
            setattr(segment, name, value)
    for segment in segments.values():
        if segment.end_time < segment.start_time:
            raise EndsBeforeItsStart(segment.id)
    session.flush()
    analytics.refresh(session, media_file_id)


def _segments(session: Session, media_file_id: int, ids: set[int]) -> dict[int, TranscriptSegment]:
    stmt = select(TranscriptSegment).where(
        TranscriptSegment.media_file_id == media_file_id, TranscriptSegment.id.in_(ids)
    )
    found = {segment.id: segment for segment in session.scalars(stmt.execution_options(populate_existing=True))}
    if missing := ids - found.keys():
        raise SegmentMissing(media_file_id, min(missing))
    return found


def _require_speakers(session: Session, user_id: int, ids: set[int | None]) -> None:
    """Raises `SpeakerMissing` unless all are the user's; until the transaction ends nobody deletes them."""
    if not ids:
        return
    stmt = select(Speaker.id).where(Speaker.user_id == user_id, Speaker.id.in_(ids)).order_by(Speaker.id)
    if missing := ids - set(session.scalars(stmt.with_for_update(read=True, key_share=True))):
        raise SpeakerMissing(min(filter(None, missing)))
