"""The tables as typed SQLAlchemy models. Importing this package registers all of them on `Base`."""

from app.models.media import (
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
)
from app.models.schema_release import SchemaRelease
from app.models.user import User

__all__ = [
    "Analytics",
    "Comment",
    "FileStatus",
    "FileTag",
    "MediaFile",
    "SchemaRelease",
    "Speaker",
    "Tag",
    "Task",
    "TaskStatus",
    "TranscriptSegment",
    "User",
]
