"""Recordings and what belongs to them: segments, speakers, comments, tags, tasks, analytics."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Double,
    FetchedValue,
    ForeignKey,
    Index,
    String,
    Text,
    UniqueConstraint,
    false,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.db.base import Base
from app.models.columns import NOW, CreatedAt, Timestamp, text_enum
from app.models.user import User

SEARCH_CONFIG = text("'simple'::regconfig")
"""Recordings come in any language, so words are indexed as they are, without one language's stems."""


class FileStatus(StrEnum):
    """Where a recording stands."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    ERROR = "error"


class TaskStatus(StrEnum):
    """Where a background task stands."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"


class MediaFile(Base):
    """An uploaded recording; it owns its segments, comments, tags, tasks and analytics, which go when it goes."""

    __tablename__ = "media_file"
    __table_args__ = (
        CheckConstraint(
            "status::text IN ('pending', 'processing', 'completed', 'error')", name="media_file_status_check"
        ),
        Index("media_file_user_id_upload_time_id_idx", "user_id", "upload_time", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    filename: Mapped[str] = mapped_column(String(255))
    storage_path: Mapped[str] = mapped_column(String(500))
    file_size: Mapped[int] = mapped_column(BigInteger)
    duration: Mapped[float | None] = mapped_column(Double)
    upload_time: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=NOW)
    completed_at: Mapped[Timestamp | None]
    content_type: Mapped[str] = mapped_column(String(100))
    status: Mapped[FileStatus | None] = mapped_column(text_enum(FileStatus), server_default=text("'pending'"))
    is_public: Mapped[bool | None] = mapped_column(server_default=false())
    language: Mapped[str | None] = mapped_column(String(10))
    summary: Mapped[str | None] = mapped_column(Text)
    translated_text: Mapped[str | None] = mapped_column(Text)
    metadata_raw: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    metadata_important: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    media_format: Mapped[str | None] = mapped_column(String(50))
    codec: Mapped[str | None] = mapped_column(String(50))
    frame_rate: Mapped[float | None] = mapped_column(Double)
    frame_count: Mapped[int | None]
    resolution_width: Mapped[int | None]
    resolution_height: Mapped[int | None]
    aspect_ratio: Mapped[str | None] = mapped_column(String(20))
    audio_channels: Mapped[int | None]
    audio_sample_rate: Mapped[int | None]
    audio_bit_depth: Mapped[int | None]
    creation_date: Mapped[Timestamp | None]
    last_modified_date: Mapped[Timestamp | None]
    device_make: Mapped[str | None] = mapped_column(String(100))
    device_model: Mapped[str | None] = mapped_column(String(100))
    title: Mapped[str | None] = mapped_column(String(255))
    author: Mapped[str | None] = mapped_column(String(255))
    description: Mapped[str | None] = mapped_column(Text)
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id))

    user: Mapped[User] = relationship(back_populates="media_files")
    transcript_segments: Mapped[list[TranscriptSegment]] = relationship(
        back_populates="media_file",
        cascade="all, delete-orphan",
        passive_deletes=True,
        order_by="(TranscriptSegment.start_time, TranscriptSegment.id)",
    )
    comments: Mapped[list[Comment]] = relationship(
        back_populates="media_file", cascade="all, delete-orphan", passive_deletes=True, order_by="Comment.id"
    )
    file_tags: Mapped[list[FileTag]] = relationship(
        back_populates="media_file", cascade="all, delete-orphan", passive_deletes=True
    )
    tags: Mapped[list[Tag]] = relationship(secondary="file_tag", viewonly=True, order_by="Tag.name")
    tasks: Mapped[list[Task]] = relationship(
        back_populates="media_file", cascade="all, delete-orphan", passive_deletes=True
    )
    analytics: Mapped[Analytics | None] = relationship(
        back_populates="media_file", cascade="all, delete-orphan", passive_deletes=True
    )


class Tag(Base):
    """A word that users put on files."""

    __tablename__ = "tag"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(50), unique=True)
    created_at: Mapped[CreatedAt]

    file_tags: Mapped[list[FileTag]] = relationship(
        back_populates="tag", cascade="all, delete-orphan", passive_deletes=True
    )


class FileTag(Base):
    """A tag on a file."""

    __tablename__ = "file_tag"
    __table_args__ = (UniqueConstraint("media_file_id", "tag_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    media_file_id: Mapped[int] = mapped_column(ForeignKey(MediaFile.id, ondelete="CASCADE"))
    tag_id: Mapped[int] = mapped_column(ForeignKey(Tag.id, ondelete="CASCADE"), index=True)
    created_at: Mapped[CreatedAt]

    media_file: Mapped[MediaFile] = relationship(back_populates="file_tags")
    tag: Mapped[Tag] = relationship(back_populates="file_tags")


class Speaker(Base):
    """A voice that a user has named; `uuid` is its name outside the database."""

    __tablename__ = "speaker"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), index=True)
    name: Mapped[str] = mapped_column(String(255))
    display_name: Mapped[str | None] = mapped_column(String(255))
    uuid: Mapped[str] = mapped_column(String(255), unique=True, default=lambda: str(uuid4()))
    verified: Mapped[bool] = mapped_column(server_default=false())
    embedding_vector: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    created_at: Mapped[CreatedAt]

    user: Mapped[User] = relationship(back_populates="speakers")
    transcript_segments: Mapped[list[TranscriptSegment]] = relationship(back_populates="speaker", passive_deletes="all")


class TranscriptSegment(Base):
    """What one speaker says in one go; times in seconds from the start of the recording."""

    __tablename__ = "transcript_segment"
    __table_args__ = (
        CheckConstraint("end_time >= start_time", name="transcript_segment_end_time_check"),
        Index("transcript_segment_media_file_id_start_time_idx", "media_file_id", "start_time"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    media_file_id: Mapped[int] = mapped_column(ForeignKey(MediaFile.id, ondelete="CASCADE"))
    speaker_id: Mapped[int | None] = mapped_column(ForeignKey(Speaker.id, ondelete="SET NULL"), index=True)
    start_time: Mapped[float] = mapped_column(Double)
    end_time: Mapped[float] = mapped_column(Double)
    text: Mapped[str] = mapped_column(Text)

    media_file: Mapped[MediaFile] = relationship(back_populates="transcript_segments")
    speaker: Mapped[Speaker | None] = relationship(back_populates="transcript_segments")


class Comment(Base):
    """A user's remark on a file, at a moment of it (`timestamp`, seconds) or on the whole."""

    __tablename__ = "comment"

    id: Mapped[int] = mapped_column(primary_key=True)
    media_file_id: Mapped[int] = mapped_column(ForeignKey(MediaFile.id, ondelete="CASCADE"), index=True)
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id), index=True)
    text: Mapped[str] = mapped_column(Text)
    timestamp: Mapped[float | None] = mapped_column(Double)
    created_at: Mapped[CreatedAt]

    media_file: Mapped[MediaFile] = relationship(back_populates="comments")
    user: Mapped[User] = relationship(back_populates="comments")


class Task(Base):
    """Work in the background; this row is the truth about it. `progress` goes from 0 to 1.

    `lease_holder` works on it until `lease_expires_at`, and longer if it renews that; `app.services.work` keeps both.
    """

    __tablename__ = "task"
    __table_args__ = (
        CheckConstraint("progress >= 0 AND progress <= 1", name="task_progress_check"),
        CheckConstraint("status::text IN ('pending', 'in_progress', 'completed', 'failed')", name="task_status_check"),
        Index("task_user_id_created_at_id_idx", "user_id", "created_at", "id"),
        Index(
            "task_unfinished_idx",
            "created_at",
            postgresql_where=text("status::text IN ('pending', 'in_progress')"),
        ),
    )

    id: Mapped[str] = mapped_column(String(255), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id))
    media_file_id: Mapped[int | None] = mapped_column(ForeignKey(MediaFile.id, ondelete="CASCADE"), index=True)
    task_type: Mapped[str] = mapped_column(String(50))
    status: Mapped[TaskStatus] = mapped_column(text_enum(TaskStatus))
    progress: Mapped[float | None] = mapped_column(Double, server_default=text("0.0"))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=NOW)
    updated_at: Mapped[datetime | None] = mapped_column(
        DateTime(timezone=True), server_default=NOW, server_onupdate=FetchedValue()
    )
    completed_at: Mapped[Timestamp | None]
    error_message: Mapped[str | None] = mapped_column(Text)
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    lease_holder: Mapped[str | None] = mapped_column(String(255))
    lease_expires_at: Mapped[Timestamp | None]
    sent_at: Mapped[Timestamp | None]

    user: Mapped[User] = relationship(back_populates="tasks")
    media_file: Mapped[MediaFile | None] = relationship(back_populates="tasks")


class Analytics(Base):
    """What was computed over one file's transcript."""

    __tablename__ = "analytics"

    id: Mapped[int] = mapped_column(primary_key=True)
    media_file_id: Mapped[int | None] = mapped_column(ForeignKey(MediaFile.id, ondelete="CASCADE"), unique=True)
    speaker_stats: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    sentiment: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    keywords: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))

    media_file: Mapped[MediaFile | None] = relationship(back_populates="analytics")


_file, _segment = MediaFile.__table__.c, TranscriptSegment.__table__.c

MEDIA_FILE_DOCUMENT = func.to_tsvector(
    SEARCH_CONFIG,
    func.coalesce(_file.title, text("''"))
    + text("' '")
    + func.translate(_file.filename, text("'._-'"), text("'   '"))
    + text("' '")
    + func.coalesce(_file.summary, text("''")),
)
"""What a search finds a file by: title, words of the file name, summary. The index stores exactly this expression."""

SEGMENT_DOCUMENT = func.to_tsvector(SEARCH_CONFIG, _segment.text)
"""What a search finds a segment by."""

Index("media_file_search_idx", MEDIA_FILE_DOCUMENT, postgresql_using="gin")
Index("transcript_segment_search_idx", SEGMENT_DOCUMENT, postgresql_using="gin")
