"""Finds work that nobody does: tasks whose worker is gone, or whose message is lost. Any number may sweep at once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, or_, select, update

from app.core.config import settings
from app.models.media import FileStatus, MediaFile, Task, TaskStatus
from app.services import work

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.orm import Session

KILLED_TWICE = (
    "the worker was killed twice while it worked on this file; it may be damaged, or need more memory than there is"
)
MOST_AT_ONCE = 500
_ON_ITS_WAY_SECONDS = 5
"""Between leaving the queue and being claimed, and between a commit and the message that follows it."""


@dataclass(frozen=True)
class Swept:
    """The ids of tasks: `stranded` wait again, `failed` have ended, messages for `unsent` are to be sent."""

    stranded: Sequence[str]
    failed: Sequence[str]
    unsent: Sequence[str]


def sweep(session: Session, queued: int | None) -> Swept:
    """Takes tasks from workers that are gone, in the caller's transaction; once it is committed, send `unsent`.

    `queued` is how many messages wait at the broker; None where it is away, and then nothing is to be sent. A task
    whose attempts are used up fails, and its file with it.
    """
    stranded = session.execute(_unfinished(work.expired())).all()
    used_up = [row for row in stranded if row.attempts >= work.MOST_ATTEMPTS]
    again = [row for row in stranded if row.attempts < work.MOST_ATTEMPTS]
    failure = {"status": TaskStatus.FAILED, "error_message": KILLED_TWICE, "completed_at": func.now()}
    _change(session, used_up, failure | work.NO_LEASE, FileStatus.ERROR)
    _change(session, again, work.WAITING_AGAIN, FileStatus.PENDING)
    unsent = [] if queued is None else _unsent(session, queued)
    return Swept([row.id for row in again], [row.id for row in used_up], unsent)


def _unfinished(*conditions: ColumnElement[bool]) -> Select[str, int | None, int]:
    """Locks what it finds, and leaves out what somebody else has locked."""
    return (
        select(Task.id, Task.media_file_id, Task.attempts)
        .join(MediaFile)
        .where(Task.status.in_(work.UNFINISHED), Task.task_type == work.TRANSCRIPTION, *conditions)
        .order_by(Task.created_at)
        .limit(MOST_AT_ONCE)
        .with_for_update(of=[MediaFile, Task], key_share=True, skip_locked=True)
    )


def _change(session: Session, rows: Sequence[Any], values: dict[str, Any], file_status: FileStatus) -> None:
    if rows:
        session.execute(update(Task).where(Task.id.in_([row.id for row in rows])).values(values))
        work.set_file_status(session, [row.media_file_id for row in rows], file_status)


def _unsent(session: Session, queued: int) -> list[str]:
    """The pending tasks without a message, as far as one can tell: the broker counts messages, and knows no tasks."""
    pending = Task.status == TaskStatus.PENDING
    ours = select(func.count()).where(pending, Task.task_type == work.TRANSCRIPTION)
    never = Task.sent_at.is_(None)
    if queued == 0:
        lost = or_(never, _sent_before(_ON_ITS_WAY_SECONDS))
    elif queued < session.scalars(ours).one():
        lost = or_(never, _sent_before(settings.TASK_RESEND_SECONDS))
    else:
        lost = never
    ids = [row.id for row in session.execute(_unfinished(pending, lost))]
    if ids:
        session.execute(update(Task).where(Task.id.in_(ids)).values(sent_at=func.now()))
    return ids


def _sent_before(seconds: int) -> ColumnElement[bool]:
    return Task.sent_at < func.now() - timedelta(seconds=seconds)
