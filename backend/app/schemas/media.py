"""What goes in and out about recordings and what belongs to them. Times in a recording are seconds from its start."""

from __future__ import annotations

from typing import ClassVar, Generic, Self, TypeVar

from pydantic import MISSING, BaseModel, field_validator, model_validator

from app.models import (
    Analytics,
    Comment,
    FileStatus,
    MediaFile,
    Speaker,
    Tag,
    Task,
    TaskStatus,
    TranscriptSegment,
)
from app.schemas.table import CreateSchema, ReadSchema, UpdateSchema, shown
from app.schemas.types import (
    Double,
    Int4,
    Int8,
    Json,
    StoredDouble,
    Text,
    Timestamp,
    VarChar10,
    VarChar20,
    VarChar50,
    VarChar100,
    VarChar255,
    VarChar500,
)

T = TypeVar("T")


class SpeakerRead(ReadSchema):
    """A voice that a user has named."""

    model = Speaker
    not_shown: ClassVar = {"embedding_vector": "hundreds of numbers that only the matching of voices reads"}

    id: Int4
    user_id: Int4
    name: VarChar255
    display_name: VarChar255 | None
    uuid: VarChar255
    verified: bool
    created_at: Timestamp | None


class SpeakerCreate(CreateSchema):
    """A new speaker; the uuid is made for it."""

    model_config = shown({"name": "SPEAKER_00", "display_name": "Ann"})
    model = Speaker

    name: VarChar255
    display_name: VarChar255 | None = None
    verified: bool = False


class SpeakerUpdate(UpdateSchema):
    """What may change about a speaker."""

    model_config = shown({"display_name": "Ann", "verified": True})
    model = Speaker

    name: VarChar255 | MISSING = MISSING
    display_name: VarChar255 | MISSING | None = MISSING
    verified: bool | MISSING = MISSING


class TranscriptSegmentRead(ReadSchema):
    """What one speaker says in one go."""

    model = TranscriptSegment
    not_columns: ClassVar = {"speaker": "the row that speaker_id names"}

    id: Int4
    media_file_id: Int4
    speaker_id: Int4 | None
    start_time: StoredDouble
    end_time: StoredDouble
    text: Text
    speaker: SpeakerRead | None


class TranscriptSegmentCreate(CreateSchema):
    """A new segment of a file."""

    model = TranscriptSegment

    speaker_id: Int4 | None = None
    start_time: Double
    end_time: Double
    text: Text

    @model_validator(mode="after")
    def _ends_after_its_start(self) -> Self:
        if self.end_time < self.start_time:
            raise ValueError("a segment can't end before its start")
        return self


class TranscriptSegmentUpdate(UpdateSchema):
    """One change of a transcript: the segment's id, and what becomes of it."""

    model_config = shown({"id": 1, "text": "What was really said.", "speaker_id": None})
    model = TranscriptSegment

    id: Int4
    speaker_id: Int4 | MISSING | None = MISSING
    start_time: Double | MISSING = MISSING
    end_time: Double | MISSING = MISSING
    text: Text | MISSING = MISSING

    @model_validator(mode="after")
    def _ends_after_its_start(self) -> Self:
        if self.start_time is not MISSING and self.end_time is not MISSING and self.end_time < self.start_time:
            raise ValueError("a segment can't end before its start")
        return self


class MediaFileRead(ReadSchema):
    """A recording, without what belongs to it."""

    model = MediaFile

    id: Int4
    filename: VarChar255
    storage_path: VarChar500
    file_size: Int8
    duration: StoredDouble | None
    upload_time: Timestamp
    completed_at: Timestamp | None
    content_type: VarChar100
    status: FileStatus | None
    is_public: bool | None
    language: VarChar10 | None
    summary: Text | None
    translated_text: Text | None
    metadata_raw: Json | None
    metadata_important: Json | None
    media_format: VarChar50 | None
    codec: VarChar50 | None
    frame_rate: StoredDouble | None
    frame_count: Int4 | None
    resolution_width: Int4 | None
    resolution_height: Int4 | None
    aspect_ratio: VarChar20 | None
    audio_channels: Int4 | None
    audio_sample_rate: Int4 | None
    audio_bit_depth: Int4 | None
    creation_date: Timestamp | None
    last_modified_date: Timestamp | None
    device_make: VarChar100 | None
    device_model: VarChar100 | None
    title: VarChar255 | None
    author: VarChar255 | None
    description: Text | None
    user_id: Int4


class MediaFileTagged(MediaFileRead):
    """A recording with its tags."""

    not_columns: ClassVar = {"tags": "names, by way of file_tag"}

    tags: list[VarChar50]

    @field_validator("tags", mode="before")
    @classmethod
    def _names(cls, tags: list[object]) -> list[object]:
        return [tag.name if isinstance(tag, Tag) else tag for tag in tags]


class MediaFileDetail(MediaFileTagged):
    """A recording with its transcript and its tags."""

    not_columns: ClassVar = {"transcript_segments": "the rows of transcript_segment, in the order of their start"}

    transcript_segments: list[TranscriptSegmentRead]


class Range(BaseModel, Generic[T]):
    """The least and the most that there is; null, if there is none."""

    min: T | None
    max: T | None


class MetadataFilters(BaseModel):
    """By which values a user's recordings can be filtered; bytes, seconds, pixels, frames per second."""

    media_format: list[str]
    codec: list[str]
    content_type: list[str]
    language: list[str]
    status: list[FileStatus]
    duration: Range[float]
    file_size: Range[int]
    upload_time: Range[Timestamp]
    resolution_width: Range[int]
    resolution_height: Range[int]
    frame_rate: Range[float]


class MediaFileCreate(CreateSchema):
    """A new recording: what the upload says, and what was read from its content."""

    model = MediaFile

    filename: VarChar255
    storage_path: VarChar500
    file_size: Int8
    content_type: VarChar100
    duration: Double | None = None
    is_public: bool | None = False
    language: VarChar10 | None = None
    metadata_raw: Json | None = None
    metadata_important: Json | None = None
    media_format: VarChar50 | None = None
    codec: VarChar50 | None = None
    frame_rate: Double | None = None
    frame_count: Int4 | None = None
    resolution_width: Int4 | None = None
    resolution_height: Int4 | None = None
    aspect_ratio: VarChar20 | None = None
    audio_channels: Int4 | None = None
    audio_sample_rate: Int4 | None = None
    audio_bit_depth: Int4 | None = None
    creation_date: Timestamp | None = None
    last_modified_date: Timestamp | None = None
    device_make: VarChar100 | None = None
    device_model: VarChar100 | None = None
    title: VarChar255 | None = None
    author: VarChar255 | None = None
    description: Text | None = None


class MediaFileUpdate(UpdateSchema):
    """What users may change about a recording."""

    model_config = shown({"filename": "Interview.mp3", "summary": "About the budget."})
    model = MediaFile

    filename: VarChar255 | MISSING = MISSING
    status: FileStatus | MISSING | None = MISSING
    summary: Text | MISSING | None = MISSING
    translated_text: Text | MISSING | None = MISSING
    duration: Double | MISSING | None = MISSING
    language: VarChar10 | MISSING | None = MISSING


class TagRead(ReadSchema):
    """A word that users put on files."""

    model = Tag

    id: Int4
    name: VarChar50
    created_at: Timestamp | None


class TagCreate(CreateSchema):
    """A new tag."""

    model_config = shown({"name": "Meeting"})
    model = Tag

    name: VarChar50

    @field_validator("name")
    @classmethod
    def _is_not_blank(cls, name: str) -> str:
        if not name.strip():
            raise ValueError("a tag's name isn't blank")
        return name


class CommentRead(ReadSchema):
    """A remark on a file; without a timestamp it is about the whole."""

    model = Comment

    id: Int4
    media_file_id: Int4
    user_id: Int4
    text: Text
    timestamp: StoredDouble | None
    created_at: Timestamp | None


class FileCommentCreate(CreateSchema):
    """A new remark on a file that is known already."""

    model_config = shown({"text": "Listen to this.", "timestamp": 12.5})
    model = Comment

    text: Text
    timestamp: Double | None = None


class CommentCreate(FileCommentCreate):
    """A new remark that names its file."""

    model_config = shown({"media_file_id": 1, "text": "Listen to this.", "timestamp": 12.5})
    media_file_id: Int4


class CommentUpdate(UpdateSchema):
    """What may change about a remark."""

    model_config = shown({"text": "Listen to this.", "timestamp": None})
    model = Comment

    text: Text | MISSING = MISSING
    timestamp: Double | MISSING | None = MISSING


def _part_of_one(progress: float | MISSING | None) -> float | MISSING | None:
    if progress is not MISSING and progress is not None and not 0 <= progress <= 1:
        raise ValueError("progress goes from 0 to 1")
    return progress


class TaskRead(ReadSchema):
    """Work in the background; `progress` goes from 0 to 1."""

    model = Task
    not_shown: ClassVar = {
        "attempts": "how workers keep a file that kills them from doing so for ever",
        "lease_holder": "names of machines and processes",
        "lease_expires_at": "what workers agree on among themselves",
        "sent_at": "about the message, not about the work",
    }

    id: VarChar255
    user_id: Int4
    media_file_id: Int4 | None
    task_type: VarChar50
    status: TaskStatus
    progress: StoredDouble | None
    created_at: Timestamp
    updated_at: Timestamp | None
    completed_at: Timestamp | None
    error_message: Text | None


class TaskCreate(CreateSchema):
    """New work; its id is chosen by who sends it."""

    model = Task

    id: VarChar255
    task_type: VarChar50
    media_file_id: Int4 | None = None
    status: TaskStatus = TaskStatus.PENDING


class TaskUpdate(UpdateSchema):
    """What a worker reports."""

    model = Task

    status: TaskStatus | MISSING = MISSING
    progress: Double | MISSING | None = MISSING
    completed_at: Timestamp | MISSING | None = MISSING
    error_message: Text | MISSING | None = MISSING

    _progress_is_a_part = field_validator("progress")(_part_of_one)


class AnalyticsRead(ReadSchema):
    """What was computed over one file's transcript."""

    model = Analytics

    id: Int4
    media_file_id: Int4 | None
    speaker_stats: Json | None
    sentiment: Json | None
    keywords: Json | None


class AnalyticsCreate(CreateSchema):
    """New figures of a file."""

    model = Analytics

    media_file_id: Int4 | None = None
    speaker_stats: Json | None = None
    sentiment: Json | None = None
    keywords: Json | None = None
