from __future__ import annotations

from typing import Any

import pytest
from pydantic import MISSING, BaseModel, ValidationError

from app.models import FileStatus, MediaFile, Speaker, Tag, TranscriptSegment
from app.schemas.media import (
    CommentCreate,
    FileCommentCreate,
    MediaFileDetail,
    MediaFileUpdate,
    SpeakerCreate,
    TaskUpdate,
    TranscriptSegmentCreate,
    TranscriptSegmentUpdate,
)


def reason(schema: type[BaseModel], **fields: object) -> str:
    with pytest.raises(ValidationError) as caught:
        schema(**fields)
    return caught.value.errors()[0]["msg"]


def test_an_update_of_a_file_takes_what_the_contract_lists():
    assert MediaFileUpdate.model_fields.keys() == {
        "filename", "status", "summary", "translated_text", "duration", "language",
    }  # fmt: skip


def test_an_update_holds_what_was_sent_and_nothing_else():
    assert MediaFileUpdate(summary=None, status="completed").model_dump() == {
        "summary": None,
        "status": FileStatus.COMPLETED,
    }
    assert MediaFileUpdate().filename is MISSING


def test_a_client_may_send_a_whole_file_back():
    whole = {"id": 1, "user_id": 2, "upload_time": "2025-05-01T12:00:00Z", "tags": [], "filename": "a.wav"}
    assert MediaFileUpdate(**whole).model_dump() == {"filename": "a.wav"}


def test_a_speaker_needs_only_a_name():
    assert SpeakerCreate(name="Ann").model_dump() == {"name": "Ann", "display_name": None, "verified": False}


def test_a_comment_names_its_file_unless_the_address_does():
    assert reason(CommentCreate, text="so") == "Field required"
    assert FileCommentCreate(text="so").model_dump() == {"text": "so", "timestamp": None}


@pytest.mark.parametrize("schema", [TranscriptSegmentCreate, TranscriptSegmentUpdate])
def test_a_segment_ends_no_earlier_than_it_starts(schema: type[BaseModel]):
    fields: dict[str, Any] = {"id": 1, "start_time": 2.0, "text": ""}
    assert schema.model_validate(fields | {"end_time": 2.0}).model_dump()["end_time"] == 2.0
    assert reason(schema, **fields, end_time=1.9) == "Value error, a segment can't end before its start"


def test_a_change_of_one_end_of_a_segment_is_left_to_the_row():
    assert TranscriptSegmentUpdate(id=1, end_time=0.0).model_dump() == {"id": 1, "end_time": 0.0}
    assert TranscriptSegmentUpdate(id=1, start_time=9.0).model_dump() == {"id": 1, "start_time": 9.0}


@pytest.mark.parametrize("progress", [0, 0.5, 1, None])
def test_progress_goes_from_0_to_1(progress: float | None):
    assert TaskUpdate(progress=progress).progress == progress


@pytest.mark.parametrize("progress", [-0.001, 1.001])
def test_progress_beyond_is_refused(progress: float):
    assert reason(TaskUpdate, progress=progress) == "Value error, progress goes from 0 to 1"


def test_a_file_in_detail_shows_its_segments_with_speakers_and_the_names_of_its_tags():
    ann = Speaker(id=1, user_id=1, name="SPEAKER_00", display_name="Ann", uuid="u", verified=True)
    spoken = TranscriptSegment(id=1, media_file_id=1, speaker_id=1, start_time=0, end_time=1, text="Hello", speaker=ann)
    noise = TranscriptSegment(id=2, media_file_id=1, start_time=1, end_time=2, text="(noise)")
    file = MediaFile(id=1, user_id=1, filename="a.wav", storage_path="p", file_size=1, content_type="audio/wav")
    file.upload_time = "2025-05-01T12:00:00Z"  # type: ignore[assignment]
    file.transcript_segments = [spoken, noise]
    file.tags = [Tag(id=1, name="Meeting"), Tag(id=2, name="Personal")]
    detail = MediaFileDetail.model_validate(file).model_dump(mode="json")
    assert detail["tags"] == ["Meeting", "Personal"]
    assert [segment["text"] for segment in detail["transcript_segments"]] == ["Hello", "(noise)"]
    assert detail["transcript_segments"][0]["speaker"]["display_name"] == "Ann"
    assert detail["transcript_segments"][1]["speaker"] is None
