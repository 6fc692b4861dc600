from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import OperationalError

from app.models import Analytics, MediaFile, Speaker
from app.services import analytics
from app.services.transcripts import MediaFileMissing, replace_segments
from tests.db.sessions import in_transaction
from tests.recordings import add_file, add_user

if TYPE_CHECKING:
    from sqlalchemy import URL
    from sqlalchemy.orm import Session


@pytest.fixture
def file(session: Session) -> MediaFile:
    user = add_user(session)
    file = add_file(session, user)
    ann = Speaker(user_id=user.id, name="SPEAKER_01", display_name="Ann")
    bob = Speaker(user_id=user.id, name="SPEAKER_02")
    session.add_all([ann, bob])
    session.flush()
    said = [(ann, 0, 1.5, "two words"), (ann, 2, 3.5, " and  three\nmore "), (bob, 4, 5, "ok"), (None, 5, 6, "")]
    segments = [
        {"speaker_id": who and who.id, "start_time": start, "end_time": end, "text": words}
        for who, start, end, words in said
    ]
    replace_segments(session, file.id, segments)
    session.commit()
    return file


def test_each_speaker_has_segments_seconds_words_and_a_share(session: Session, file: MediaFile) -> None:
    stats = analytics.refresh(session, file.id).speaker_stats
    ann, bob = session.scalars(select(Speaker.id).order_by(Speaker.id))
    assert stats == {
        str(ann): {"name": "Ann", "segments": 2, "seconds": 3.0, "words": 5, "share": 0.6},
        str(bob): {"name": "SPEAKER_02", "segments": 1, "seconds": 1.0, "words": 1, "share": 0.2},
        "unknown": {"name": None, "segments": 1, "seconds": 1.0, "words": 0, "share": 0.2},
    }


def test_twice_is_as_once_and_other_figures_stay(session: Session, file: MediaFile) -> None:
    session.add(Analytics(media_file_id=file.id, keywords=["a"]))
    session.commit()
    first = analytics.refresh(session, file.id).speaker_stats
    session.commit()
    assert analytics.refresh(session, file.id).speaker_stats == first
    session.commit()
    assert session.scalar(select(func.count()).select_from(Analytics)) == 1
    assert session.scalars(select(Analytics)).one().keywords == ["a"]


def test_a_new_transcript_gives_new_figures(session: Session, file: MediaFile) -> None:
    analytics.refresh(session, file.id)
    replace_segments(session, file.id, [])
    assert analytics.refresh(session, file.id).speaker_stats == {}


def test_a_file_that_is_not_there(session: Session) -> None:
    with pytest.raises(MediaFileMissing):
        analytics.refresh(session, 1)


@pytest.mark.parametrize(("start", "end"), [("0", "Infinity"), ("NaN", "NaN"), ("-Infinity", "0"), ("Infinity",) * 2])
def test_times_that_json_can_not_hold_count_as_nothing(session: Session, file: MediaFile, start: str, end: str) -> None:
    session.execute(text(f"UPDATE transcript_segment SET start_time = '{start}', end_time = '{end}' WHERE text = 'ok'"))
    stats = analytics.refresh(session, file.id).speaker_stats
    (bob,) = (each for each in stats.values() if each["name"] == "SPEAKER_02")
    assert (bob["segments"], bob["seconds"], bob["share"]) == (1, 0.0, 0.0)


def test_who_refreshes_waits_for_who_replaces(session: Session, file: MediaFile, database: URL) -> None:
    with in_transaction(database, f"SELECT 1 FROM media_file WHERE id = {file.id} FOR NO KEY UPDATE"):
        session.execute(text("SET LOCAL lock_timeout = '1ms'"))
        with pytest.raises(OperationalError, match="lock timeout"):
            analytics.refresh(session, file.id)
