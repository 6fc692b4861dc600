"""What administrators see of the whole instance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from app.models import FileStatus, MediaFile, Speaker, Tag, Task, TaskStatus, TranscriptSegment, User

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

_LONGEST_SECONDS = 1e12
"""Longer than anything: users may write any duration, and the sum of two of 1e308 is an error to PostgreSQL."""


def stats(session: Session) -> dict[str, dict[str, Any]]:
    """Figures about users, files (sizes in bytes, durations in seconds) and the system, in three statements."""
    return {"users": _users(session), "files": _files(session), "system": _system(session)}


def _users(session: Session) -> dict[str, Any]:
    admins = func.count().filter(User.is_admin)
    row = session.execute(
        select(
            func.count().label("total"),
            func.count().filter(User.is_active).label("active"),
            admins.label("administrators"),
        ).select_from(User)
    ).one()
    return dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it


def _files(session: Session) -> dict[str, Any]:
    speakable = MediaFile.duration.between(0, _LONGEST_SECONDS)
    by_status = {status: func.count().filter(MediaFile.status == status) for status in FileStatus}
    row = session.execute(
        select(
            func.count(),
            func.coalesce(func.sum(MediaFile.file_size), 0),
            func.coalesce(func.sum(MediaFile.duration).filter(speakable), 0.0),
            *by_status.values(),
        ).select_from(MediaFile)
    ).one()
    total, size, seconds, *counts = row
    return {
        "total": total,
        "total_file_size": int(size),
        "total_duration": seconds,
        "by_status": dict(zip(by_status, counts, strict=True)),
    }


def _system(session: Session) -> dict[str, Any]:
    """Rows of large tables as the server estimates them: to count millions would take it seconds."""
    tasks = [_count(Task, Task.status == status) for status in TaskStatus]
    database_size = func.pg_database_size(func.current_database())
    server = func.current_setting("server_version")
    row = session.execute(select(database_size, server, _count(Tag), _count(Speaker), _estimate(), *tasks)).one()
    size, version, tags, speakers, segments, *counts = row
    return {
        "database_size": size,
        "database_version": version,
        "tags": tags,
        "speakers": speakers,
        "transcript_segments": segments,
        "tasks": dict(zip(TaskStatus, counts, strict=True)),
    }


def _count(model: type[Any], *conditions: ColumnElement[bool]) -> Any:  # noqa: ANN401 - a scalar subquery of integers
    return select(func.count()).select_from(model).where(*conditions).scalar_subquery()


def _estimate() -> Any:  # noqa: ANN401 - likewise
    return func.pg_stat_get_live_tuples(func.to_regclass(TranscriptSegment.__tablename__))
