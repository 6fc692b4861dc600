"""Which of a user's recordings are meant: the filters that the listing and the searches share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import or_

from app.models import FileStatus, FileTag, MediaFile, Speaker, Tag, TranscriptSegment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sqlalchemy import ColumnElement


class FileType(StrEnum):
    """What a recording is, by its content type."""

    AUDIO = "audio"
    VIDEO = "video"


@dataclass(frozen=True)
class FileFilter:
    """Each part that is given narrows: a file has all the tags and all the speakers, and one of the types and statuses.

    Times are inclusive, durations are seconds, sizes bytes. `search` is a part of the name, title or summary in any
    case, taken literally. A speaker goes by its name or by its display name.
    """

    search: str | None = None
    tags: tuple[str, ...] = ()
    speakers: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    uploaded_from: datetime | None = None
    uploaded_to: datetime | None = None
    min_duration: float | None = None
    max_duration: float | None = None
    min_file_size: int | None = None
    max_file_size: int | None = None
    file_types: tuple[FileType, ...] = ()
    statuses: tuple[FileStatus, ...] = ()

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        """The conditions on `MediaFile`; none, if nothing is given."""
        if self.search:
            texts = (MediaFile.filename, MediaFile.title, MediaFile.summary)
            yield or_(*(text.icontains(self.search, autoescape=True) for text in texts))
        yield from (MediaFile.file_tags.any(FileTag.tag.has(Tag.name == name)) for name in self.tags)
        yield from (MediaFile.transcript_segments.any(_said_by(name)) for name in self.speakers)
        if self.languages:
            yield MediaFile.language.in_(self.languages)
        yield from self._ranges()
        if self.file_types:
            yield or_(*(MediaFile.content_type.startswith(f"{kind}/") for kind in self.file_types))
        if self.statuses:
            yield MediaFile.status.in_(self.statuses)

    def _ranges(self) -> Iterator[ColumnElement[bool]]:
        ranges = (
            (MediaFile.upload_time, self.uploaded_from, self.uploaded_to),
            (MediaFile.duration, self.min_duration, self.max_duration),
            (MediaFile.file_size, self.min_file_size, self.max_file_size),
        )
        for column, least, most in ranges:
            if least is not None:
                yield column >= least
            if most is not None:
                yield column <= most


EVERYTHING = FileFilter()


def _said_by(name: str) -> ColumnElement[bool]:
    return TranscriptSegment.speaker.has(or_(Speaker.name == name, Speaker.display_name == name))
