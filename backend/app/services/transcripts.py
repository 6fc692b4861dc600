"""A recording's transcript: replacing what was said in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select

from app.db import bulk
from app.models.media import MediaFile, TranscriptSegment
from app.services.errors import Missing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy.orm import Session


class MediaFileMissing(Missing):
    """There is no such recording (any more)."""

    def __init__(self, media_file_id: int) -> None:
        super().__init__("file", media_file_id, "it may have been deleted; look at the list of files")
        self.media_file_id = media_file_id


def replace_segments(session: Session, media_file_id: int, segments: Iterable[Mapping[str, Any]]) -> int:
    """Makes `segments` the file's transcript, in place of what is there, in the caller's transaction; returns how many.

    A segment has start_time and end_time (seconds), text, and speaker_id (or None, in all of them or in none left out).
    The file's row stays locked until the transaction ends: of two that replace at once the later one's segments stay,
    never those of both. `segments` must not use the session. Raises `MediaFileMissing`, and what `copy_rows` raises.
    """
    locked = select(MediaFile.id).where(MediaFile.id == media_file_id).with_for_update(key_share=True)
    if session.scalar(locked) is None:
        raise MediaFileMissing(media_file_id)
    session.execute(delete(TranscriptSegment).where(TranscriptSegment.media_file_id == media_file_id))
    rows = ({"speaker_id": None, **segment, "media_file_id": media_file_id} for segment in segments)
    written = bulk.copy_rows(session, TranscriptSegment, rows)
    loaded = session.identity_map.get(session.identity_key(MediaFile, media_file_id))
    if loaded is not None:
        session.expire(loaded, ["transcript_segments"])
    return written
