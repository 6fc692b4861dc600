"""Which files a listing shows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from app.db.watch import count_statements
from app.models import FileTag, Speaker, Tag, TranscriptSegment

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from tests.api.conftest import Person

pytestmark = pytest.mark.parametrize("application", ["pooled"], indirect=True)  # as in production


def uploaded(day: int, hour: int = 12) -> datetime:
    return datetime(2025, 5, day, hour, tzinfo=UTC)


FILTERS: list[tuple[dict[str, Any], str]] = [
    ({}, "cba"),
    ({"search": "b.mp"}, "b"),
    ({"search": "BUDGET"}, "b"),
    ({"search": "ÉTÉ"}, "c"),
    ({"search": "%"}, "a"),
    ({"search": "_"}, "a"),
    ({"search": "\\"}, "b"),
    ({"search": "/"}, ""),
    ({"search": "' OR 1=1 --"}, ""),
    ({"search": ""}, "cba"),
    ({"tag": "Meeting"}, "ba"),
    ({"tag": ["Meeting", "Personal"]}, "b"),
    ({"tag": "meeting"}, ""),
    ({"tag": "No such"}, ""),
    ({"speaker": "Zoë"}, "ba"),
    ({"speaker": "SPEAKER_00"}, "ba"),
    ({"speaker": ["Zoë", "Tom"]}, "b"),
    ({"from_date": "2025-05-02"}, "cb"),
    ({"to_date": "2025-05-02"}, "ba"),
    ({"to_date": "2025-05-02T12:00:00Z"}, "ba"),
    ({"to_date": "2025-05-02T11:59:59Z"}, "a"),
    ({"from_date": "2025-05-02", "to_date": "2025-05-02"}, "b"),
    ({"from_date": "0001-01-01", "to_date": "9999-12-31"}, "cba"),
    ({"min_duration": "10", "max_duration": "10.5"}, "a"),
    ({"min_duration": "10.1"}, "b"),
    ({"max_duration": "-1e308"}, ""),
    ({"min_file_size": "101"}, "b"),
    ({"max_file_size": "100"}, "ca"),
    ({"min_file_size": str(2**63 - 1)}, ""),
    ({"file_type": "video"}, "b"),
    ({"file_type": "audio"}, "ca"),
    ({"file_type": ["audio", "video"]}, "cba"),
    ({"status": "completed"}, "b"),
    ({"status": ["pending", "error"]}, "ca"),
    ({"tag": "Meeting", "file_type": "audio", "status": "pending", "search": "100%"}, "a"),
]


@pytest.fixture
def recordings(ann: Person, ben: Person, rows: Session, new_file: Callable[..., int]) -> None:
    """Ann's a, b and c, and one of Ben's that would match everything."""
    a = new_file(ann, filename="a_100%.mp3", duration=10.0, file_size=100, upload_time=uploaded(1), language="en")
    b = new_file(
        ann,
        filename="b.mp4",
        title="Budget",
        summary="A\\B",
        duration=20.0,
        file_size=2**40,
        content_type="video/mp4",
        status="completed",
        upload_time=uploaded(2),
    )
    c = new_file(
        ann, filename="c.ogg", title="été", upload_time=uploaded(3, 23), status="error", content_type="audio/ogg"
    )
    theirs = new_file(ben, filename="a_100%.mp3", title="Budget été", upload_time=uploaded(2), duration=15.0)
    tags = {tag.name: tag.id for tag in rows.scalars(select(Tag))}
    on = ((a, "Meeting"), (b, "Meeting"), (b, "Personal"), (theirs, "Meeting"), (theirs, "Personal"))
    rows.add_all(FileTag(media_file_id=file, tag_id=tags[name]) for file, name in on)
    zoe = Speaker(user_id=ann.id, name="SPEAKER_00", display_name="Zoë")
    tom = Speaker(user_id=ann.id, name="Tom")
    rows.add_all([zoe, tom])
    rows.flush()
    said = ((a, zoe), (b, zoe), (b, zoe), (b, tom))
    rows.add_all(
        TranscriptSegment(media_file_id=file, speaker_id=voice.id, start_time=0, end_time=1, text="x")
        for file, voice in said
    )
    assert c
    rows.commit()


@pytest.mark.usefixtures("recordings")
def test_filters_narrow(ann: Person) -> None:
    for words, names in FILTERS:
        answer = ann.api.get("/api/files", params=words)
        assert (words, "".join(file["filename"][0] for file in answer.json())) == (words, names)


def test_a_number_that_is_none_is_422(ann: Person) -> None:
    of_listing = ["min_duration", "max_duration", "min_file_size", "max_file_size"]
    names = [("/api/files", name) for name in of_listing] + [("/api/search/advanced", name) for name in of_listing[:2]]
    for path, name in names:
        for value in ("nan", "NaN", "inf", "-inf", "1e400", "x", "", "1" * 400, "\0"):
            answer = ann.api.get(path, params={name: value, "q": "x"})
            assert (path, name, value, answer.status_code) == (path, name, value, 422)


WRONG: list[dict[str, Any]] = [
    {"search": "\0"},
    {"tag": "a\0"},
    {"speaker": "\0"},
    {"from_date": "yesterday"},
    {"from_date": "1" * 400},
    {"to_date": "2025-13-01"},
    {"to_date": "0001-01-01T00:00:00+14:00"},
    {"file_type": "text"},
    {"status": "done"},
    {"tag": ["x"] * 21},
    {"cursor": "\0"},
    {"cursor": "é"},
    {"limit": "1e3"},
    {"limit": str(10**30)},
]


def test_a_filter_that_can_not_be_is_422(ann: Person) -> None:
    for words in WRONG:
        assert (words, ann.api.get("/api/files", params=words).status_code) == (words, 422)


@pytest.mark.usefixtures("recordings")
def test_metadata_filters_tell_what_there_is(ann: Person, ben: Person, new_file: Callable[..., int]) -> None:
    new_file(ann, duration=float("nan"), codec="opus", resolution_width=640, frame_rate=float("inf"))
    answer = ann.api.get("/api/files/metadata-filters").json()
    assert answer["codec"] == ["opus"]
    assert answer["content_type"] == ["audio/mpeg", "audio/ogg", "video/mp4"]
    assert answer["status"] == ["completed", "error", "pending"]
    assert answer["duration"] == {"min": 10.0, "max": 20.0}
    assert answer["file_size"] == {"min": 1, "max": 2**40}
    assert answer["frame_rate"] == {"min": None, "max": None}
    assert answer["resolution_width"] == {"min": 640, "max": 640}
    assert ben.api.get("/api/files/metadata-filters").json()["file_size"] == {"min": 1, "max": 1}


def test_fifty_files_with_tags_take_three_statements(
    ann: Person, rows: Session, new_file: Callable[..., int], application: Engine
) -> None:
    tags = rows.scalars(select(Tag.id)).all()
    files = [new_file(ann) for _ in range(50)]
    rows.add_all(FileTag(media_file_id=file, tag_id=tag) for file in files for tag in tags)
    rows.commit()
    with count_statements(application) as count:
        answer = ann.api.get("/api/files", params={"limit": 50})
    assert {len(file["tags"]) for file in answer.json()} == {4}
    assert len(answer.json()) == 50
    assert len(count) <= 3, count.statements
