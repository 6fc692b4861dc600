"""Figures about the whole instance."""

from __future__ import annotations

from pydantic import BaseModel

from app.models import FileStatus, TaskStatus


class UserStatistics(BaseModel):
    """How many users there are."""

    total: int
    active: int
    administrators: int


class FileStatistics(BaseModel):
    """How many recordings there are; bytes and seconds of all together."""

    total: int
    total_file_size: int
    total_duration: float
    by_status: dict[FileStatus, int]


class SystemStatistics(BaseModel):
    """The rest; bytes of the database, and segments as the server estimates them."""

    database_size: int
    database_version: str
    tags: int
    speakers: int
    transcript_segments: int
    tasks: dict[TaskStatus, int]


class Statistics(BaseModel):
    """What administrators see."""

    users: UserStatistics
    files: FileStatistics
    system: SystemStatistics
