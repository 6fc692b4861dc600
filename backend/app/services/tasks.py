"""A user's tasks: looking at them and cancelling one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from app.db.paging import Page, page
from app.models import Task
from app.services import work
from app.services.errors import Missing

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


class TaskMissing(Missing):
    """The user has no such task (any more)."""

    def __init__(self, task_id: str) -> None:
        super().__init__("task", task_id)


def listing(
    session: Session,
    user_id: int,
    *,
    media_file_id: int | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Page[Task]:
    """The user's tasks (of one file), newest first."""
    stmt = select(Task).where(Task.user_id == user_id)
    if media_file_id is not None:
        stmt = stmt.where(Task.media_file_id == media_file_id)
    return page(session, stmt, [Task.created_at.desc(), Task.id.desc()], limit=limit, cursor=cursor)


def one(session: Session, user_id: int, task_id: str) -> Task:
    """The user's task. Raises `TaskMissing`."""
    task = session.scalar(select(Task).where(Task.id == task_id, Task.user_id == user_id))
    if task is None:
        raise TaskMissing(task_id)
    return task


def cancel(session: Session, user_id: int, task_id: str) -> Task:
    """Cancels the user's task, not committed. Raises `TaskMissing`, and `Conflict` for one that is finished."""
    task = one(session, user_id, task_id)
    work.cancel(session, task)
    return task
