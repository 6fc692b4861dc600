"""Rows of the real server through the ORM and the read schemas, held against what the server itself says in JSON."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import null, text

from app.db.fields import all_schemas
from app.models import (
    Analytics,
    Comment,
    FileStatus,
    FileTag,
    MediaFile,
    Speaker,
    Tag,
    Task,
    TaskStatus,
    TranscriptSegment,
    User,
)
from app.schemas.media import MediaFileDetail, TranscriptSegmentRead
from app.schemas.table import ReadSchema

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from app.db.base import Base

READERS = [schema for schema in all_schemas() if issubclass(schema, ReadSchema)]
TIME = datetime(2025, 5, 1, 12, 30, 0, 123456, tzinfo=UTC)
ANYTHING = {"numbers": [0, -1.5, 1e300, 12345678901234567890], "text": "é\\u0000🎧", "none": None, "yes": True}


def full_rows() -> list[Base]:
    """A row of each table with something in every column."""
    user = User(id=1, email="ann@example.com", hashed_password="-", full_name="Ann 🎧", role="admin", is_superuser=True)  # noqa: S106
    speaker = Speaker(id=1, user_id=1, name="S", display_name="Ann", uuid="u", verified=True, embedding_vector=[0.1])
    file = MediaFile(
        id=2**31 - 1,
        filename="é" * 255,
        storage_path="user_1/file_1/a.wav",
        file_size=2**63 - 1,
        duration=5e-324,
        upload_time=TIME,
        completed_at=TIME,
        content_type="audio/wav",
        status=FileStatus.COMPLETED,
        is_public=True,
        language="de",
        summary="\n\t'\"\\",
        translated_text="",
        metadata_raw=ANYTHING,
        metadata_important=[ANYTHING],
        media_format="wav",
        codec="pcm",
        frame_rate=29.97,
        frame_count=-1,
        resolution_width=0,
        resolution_height=1,
        aspect_ratio="16:9",
        audio_channels=2,
        audio_sample_rate=48000,
        audio_bit_depth=24,
        creation_date=datetime.min.replace(tzinfo=UTC),
        last_modified_date=datetime.max.replace(tzinfo=UTC),
        device_make="m",
        device_model="d",
        title="t",
        author="a",
        description="d",
        user_id=1,
    )
    here = {"media_file_id": file.id}
    return [
        user,
        speaker,
        file,
        TranscriptSegment(id=1, **here, speaker_id=1, start_time=0.1, end_time=1e308, text="Hello"),
        Tag(id=100, name="Deutsch"),
        FileTag(**here, tag_id=100),
        Comment(id=1, **here, user_id=1, text="so", timestamp=0.1),
        Task(
            id="t" * 255,
            user_id=1,
            **here,
            task_type="transcription",
            status=TaskStatus.IN_PROGRESS,
            progress=0.3,
            completed_at=TIME,
            error_message="none yet",
            lease_holder="worker",
            lease_expires_at=TIME,
            sent_at=TIME,
        ),
        Analytics(id=1, **here, speaker_stats=ANYTHING, sentiment=[0.5], keywords="one"),
    ]


def least_rows() -> list[Base]:
    """A row of each table with null wherever that may be."""
    user = User(id=1, email="", hashed_password="", full_name="")
    file = MediaFile(id=1, filename="", storage_path="", file_size=0, content_type="", user_id=1)
    here = {"media_file_id": 1}
    rows = [
        user,
        Speaker(id=1, user_id=1, name="", uuid=""),
        file,
        TranscriptSegment(id=1, **here, start_time=0, end_time=0, text=""),
        Tag(id=100, name=""),
        Comment(id=1, **here, user_id=1, text=""),
        Task(id="", user_id=1, task_type="", status=TaskStatus.PENDING),
        Analytics(id=1),
    ]
    for row in rows:
        for column in row.__table__.columns:
            if column.nullable and column.server_default is not None:
                setattr(row, column.name, null())
    return rows


def stored(session: Session, rows: list[Base]) -> None:
    for row in rows:
        session.add(row)
        session.flush()
    session.commit()


def as_the_server_says(session: Session, table: str) -> dict[str, Any]:
    answer = session.execute(text(f'SELECT row_to_json(t) FROM "{table}" t ORDER BY id DESC LIMIT 1'))
    return dict(answer.scalar_one())


@pytest.mark.parametrize("make", [full_rows, least_rows])
def test_every_row_is_shown_as_the_server_has_it(session: Session, make: Callable[[], list[Base]]):
    stored(session, make())
    for reader in READERS:
        table = str(reader.model.__tablename__)
        row = session.query(reader.model).order_by(reader.model.__table__.c.id.desc()).first()
        shown = json.loads(reader.model_validate(row).model_dump_json())
        expected = as_the_server_says(session, table)
        reasons = {name for base in reader.__mro__ for name in vars(base).get("not_columns", ())}
        assert shown.keys() - reasons <= expected.keys()
        for name, value in shown.items():
            if name in expected:
                assert comparable(value) == comparable(expected[name]), f"{reader.__name__}.{name}"


def comparable(value: object) -> object:
    """A time as an instant: the server writes another zone than the schema."""
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) and len(value) > len("2025-05-01") else value
    except ValueError:
        return value


def test_the_rows_above_leave_nothing_untried(session: Session):
    stored(session, full_rows())
    assert [name for name, columns in empty_columns(session).items() if columns] == []


def test_the_rows_above_try_every_null(session: Session):
    stored(session, least_rows())
    assert empty_columns(session) == {
        reader.model.__tablename__: {column.name for column in reader.model.__table__.columns if column.nullable}
        for reader in READERS
    }


def empty_columns(session: Session) -> dict[str, set[str]]:
    tables = [str(reader.model.__tablename__) for reader in READERS]
    rows = {table: as_the_server_says(session, table) for table in tables}
    return {table: {name for name, value in row.items() if value is None} for table, row in rows.items()}


def test_a_file_in_detail_comes_from_its_rows(session: Session):
    stored(session, full_rows())
    detail = MediaFileDetail.model_validate(session.query(MediaFile).one()).model_dump(mode="json")
    assert detail["tags"] == ["Deutsch"]
    assert detail["transcript_segments"][0]["speaker"]["display_name"] == "Ann"


def test_a_row_with_nan_is_read(session: Session):
    stored(session, full_rows())
    session.execute(text("UPDATE transcript_segment SET end_time = 'NaN'"))
    row = session.query(TranscriptSegment).one()
    assert math.isnan(row.end_time)
    read = TranscriptSegmentRead.model_validate(row)
    assert json.loads(read.model_dump_json())["end_time"] is None
    assert read.model_dump(mode="json")["end_time"] is None
