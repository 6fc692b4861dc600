"""Figures over a recording's transcript: who spoke how long, how often, in how many words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from app.models.media import Analytics, MediaFile, Speaker, TranscriptSegment
from app.services.transcripts import MediaFileMissing

if TYPE_CHECKING:
    from sqlalchemy import Select
    from sqlalchemy.orm import Session

UNKNOWN = "unknown"
"""The key of what nobody is named for."""


def refresh(session: Session, media_file_id: int) -> Analytics:
    """Computes the file's `speaker_stats` from its segments, in the caller's transaction; its other figures stay.

    They map a speaker's id (or `UNKNOWN`) to the name, segments, seconds, words, and the share of all seconds (0 to 1).
    The file's row stays locked until the transaction ends, as in `replace_segments`: so they never belong to half a
    transcript. Raises `MediaFileMissing`.
    """
    locked = select(MediaFile.id).where(MediaFile.id == media_file_id).with_for_update(key_share=True)
    if session.scalar(locked) is None:
        raise MediaFileMissing(media_file_id)
    kept = session.scalar(select(Analytics).where(Analytics.media_file_id == media_file_id))
    found = kept or Analytics(media_file_id=media_file_id)
    found.speaker_stats = _speaker_stats(session, media_file_id)
    session.add(found)
    session.flush()
    return found


def _speaker_stats(session: Session, media_file_id: int) -> dict[str, dict[str, Any]]:
    rows = session.execute(_by_speaker(media_file_id)).all()
    total = sum(row.seconds for row in rows)
    return {
        str(row.speaker_id or UNKNOWN): {
            "name": row.name,
            "segments": row.segments,
            "seconds": round(row.seconds, 3),
            "words": row.words,
            "share": round(row.seconds / total, 4) if total else 0.0,
        }
        for row in rows
    }


def _by_speaker(media_file_id: int) -> Select[Any]:
    length = TranscriptSegment.end_time - TranscriptSegment.start_time
    finite = length < float("inf")  # old rows may hold infinities and NaN, which JSON can't
    return (
        select(
            TranscriptSegment.speaker_id,
            func.coalesce(Speaker.display_name, Speaker.name).label("name"),
            func.count().label("segments"),
            func.coalesce(func.sum(length).filter(finite), 0.0).label("seconds"),
            func.coalesce(func.sum(func.regexp_count(TranscriptSegment.text, r"\S+")), 0).label("words"),
        )
        .outerjoin(Speaker)
        .where(TranscriptSegment.media_file_id == media_file_id)
        .group_by(TranscriptSegment.speaker_id, Speaker.id)
        .order_by(TranscriptSegment.speaker_id)
    )
