"""The work that is still to be done: the `task` row in Postgres is the truth about it, messages only tell of it.

A worker claims a row and holds a lease on it, which it renews while it works. Whatever changes a claimed row does so on
the condition that the lease is still its own: so of two that do the same work, one leaves its rows. Locks are taken in
one order everywhere, the file's row before the task's, which is also the order of a file's deletion.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from sqlalchemy import and_, case, func, or_, select, update

from app.core.config import settings
from app.db.session_utils import session_scope
from app.models.media import FileStatus, MediaFile, Task, TaskStatus
from app.services import errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Update
    from sqlalchemy.orm import Session

TRANSCRIPTION = "transcription"
CANCELLED = "cancelled"
MOST_ATTEMPTS = 2
"""A file that killed its worker twice would do so for ever."""

UNFINISHED = (TaskStatus.PENDING, TaskStatus.IN_PROGRESS)
NO_LEASE: dict[str, Any] = {"lease_holder": None, "lease_expires_at": None}
WAITING_AGAIN: dict[str, Any] = {"status": TaskStatus.PENDING, "progress": 0.0, "sent_at": None, **NO_LEASE}
"""The columns of a task that anybody may take, and that no message tells of."""


class LeaseLost(Exception):
    """The task is no longer ours: cancelled, deleted with its file, or taken over. Whoever works on it ends quietly."""


class TaskUnfinished(errors.Conflict):
    """The file is waiting to be transcribed, or is being transcribed."""

    def __init__(self, media_file_id: int) -> None:
        super().__init__(f"file {media_file_id} is being transcribed already", "wait for that, or cancel its task")


class TaskFinished(errors.Conflict):
    """There is nothing left to cancel."""

    def __init__(self, task: Task) -> None:
        super().__init__(f"task {task.id} has ended as {task.status}", "only unfinished tasks can be cancelled")


@dataclass(frozen=True)
class Claim:
    """One attempt at one task; `holder` is its alone."""

    task_id: str
    media_file_id: int
    user_id: int
    holder: str
    attempt: int


def enqueue(session: Session, user_id: int, media_file_id: int, task_id: str | None = None) -> Task:
    """A new task that transcribes the file, flushed; once it is committed, `messages.send([task.id])`.

    Raises `TaskUnfinished` where the file has one already, `IntegrityError` where the id is taken or the file is gone.
    """
    _lock_file(session, media_file_id)
    of_file = select(Task.id).where(Task.media_file_id == media_file_id, Task.task_type == TRANSCRIPTION)
    if session.scalar(of_file.where(Task.status.in_(UNFINISHED)).limit(1)) is not None:
        raise TaskUnfinished(media_file_id)
    task = Task(
        id=task_id or str(uuid4()),
        user_id=user_id,
        media_file_id=media_file_id,
        task_type=TRANSCRIPTION,
        status=TaskStatus.PENDING,
        sent_at=func.now(),
    )
    session.add(task)
    session.flush()
    set_file_status(session, [media_file_id], FileStatus.PENDING)
    return task


def claim(session: Session, task_id: str, holder: str) -> Claim | None:
    """Takes the task, in the caller's transaction; None where somebody else has it, or it is done, cancelled, gone.

    A second message about a task that is being worked on finds a live lease here, and ends.
    """
    _lock_files(session, Task.id == task_id)
    again = and_(expired(), Task.attempts < MOST_ATTEMPTS)
    free = or_(Task.status == TaskStatus.PENDING, again)
    row = session.execute(
        update(Task)
        .where(Task.id == task_id, Task.task_type == TRANSCRIPTION, Task.media_file_id.is_not(None), free)
        .values(
            status=TaskStatus.IN_PROGRESS,
            attempts=Task.attempts + 1,
            lease_holder=holder,
            lease_expires_at=_lease_end(),
            progress=0.0,
            error_message=None,
            completed_at=None,
        )
        .returning(Task.media_file_id, Task.user_id, Task.attempts)
    ).one_or_none()
    if row is None or row.media_file_id is None:
        return None
    set_file_status(session, [row.media_file_id], FileStatus.PROCESSING)
    return Claim(task_id, row.media_file_id, row.user_id, holder, row.attempts)


def renew(claim: Claim, progress: float | None = None) -> bool:
    """Extends the lease, in a transaction of its own, and stores the progress (0 to 1); False: the lease is lost."""
    with session_scope() as session:
        renewed = update(Task).where(*_held(claim)).values(lease_expires_at=_lease_end())
        if progress is not None:
            renewed = renewed.values(progress=min(max(progress, 0.0), 1.0))
        return _matched(session, renewed) == 1


def finish(session: Session, claim: Claim) -> None:
    """Task and file are completed, in the caller's transaction, with what was made of them. Raises `LeaseLost`."""
    _end(session, claim, FileStatus.COMPLETED, {"status": TaskStatus.COMPLETED, "progress": 1.0})


def fail(session: Session, claim: Claim, reason: str) -> None:
    """Task and file have failed, for a reason in words that the user understands. Raises `LeaseLost`."""
    _end(session, claim, FileStatus.ERROR, {"status": TaskStatus.FAILED, "error_message": reason})


def _end(session: Session, claim: Claim, file_status: FileStatus, values: dict[str, Any]) -> None:
    _lock_file(session, claim.media_file_id)
    ended = update(Task).where(*_held(claim)).values(**values, **NO_LEASE, completed_at=func.now())
    if _matched(session, ended) != 1:
        raise LeaseLost(claim.task_id)
    set_file_status(session, [claim.media_file_id], file_status)


def give_back(session: Session, claim: Claim, reason: str, *, counted: bool = False) -> None:
    """Lets somebody else do it, in the caller's transaction: the sweeper sends it again. Raises `LeaseLost`.

    The attempt counts as none, unless `counted`. Until then the task shows the reason.
    """
    if _give_back(session, _held(claim), {"error_message": reason}, counted=counted) != 1:
        raise LeaseLost(claim.task_id)


def give_back_all(worker: str) -> int:
    """Gives back whatever processes of this worker hold (its claims' holders begin with its name); returns how many."""
    with session_scope() as session:
        held = (Task.lease_holder.startswith(worker, autoescape=True), Task.status == TaskStatus.IN_PROGRESS)
        return _give_back(session, held, {}, counted=False)


def _give_back(
    session: Session, held: tuple[ColumnElement[bool], ...], values: dict[str, Any], *, counted: bool
) -> int:
    _lock_files(session, *held)
    fewer = case((Task.attempts > 0, Task.attempts - 1), else_=0)
    values = WAITING_AGAIN | values | ({} if counted else {"attempts": fewer})
    ids = session.scalars(update(Task).where(*held).values(values).returning(Task.media_file_id)).all()
    set_file_status(session, ids, FileStatus.PENDING)
    return len(ids)


def cancel(session: Session, task: Task) -> None:
    """The task ends as failed, reason `cancelled`, in the caller's transaction; who works on it finds out and ends.

    One that was cancelled already stays as it is. Raises `TaskFinished` for any other that has ended.
    """
    _lock_files(session, Task.id == task.id)
    ended = {"status": TaskStatus.FAILED, "error_message": CANCELLED, "completed_at": func.now(), **NO_LEASE}
    stopped = update(Task).where(Task.id == task.id, Task.status.in_(UNFINISHED)).values(ended)
    if _matched(session, stopped) == 1:
        if task.task_type == TRANSCRIPTION:
            set_file_status(session, [task.media_file_id], FileStatus.ERROR)
        session.refresh(task)
        return
    session.refresh(task)
    if task.error_message != CANCELLED:
        raise TaskFinished(task)


def expired() -> ColumnElement[bool]:
    """In progress, and nobody renews the lease; rows of before there were leases have none."""
    over = or_(Task.lease_expires_at.is_(None), Task.lease_expires_at < func.now())
    return and_(Task.status == TaskStatus.IN_PROGRESS, over)


def set_file_status(session: Session, ids: Sequence[int | None], status: FileStatus) -> None:
    """These files are now where their tasks are."""
    values = {"status": status} | ({"completed_at": func.now()} if status is FileStatus.COMPLETED else {})
    session.execute(update(MediaFile).where(MediaFile.id.in_(ids)).values(values))


def _held(claim: Claim) -> tuple[ColumnElement[bool], ...]:
    ours = Task.lease_holder == claim.holder
    return Task.id == claim.task_id, ours, Task.status == TaskStatus.IN_PROGRESS


def _lease_end() -> ColumnElement[Any]:
    return func.now() + timedelta(seconds=settings.LEASE_SECONDS)


def _lock_files(session: Session, *of_tasks: ColumnElement[bool]) -> None:
    """Locks the rows of these tasks' files: see above."""
    files = select(MediaFile.id).where(MediaFile.tasks.any(and_(*of_tasks))).order_by(MediaFile.id)
    session.execute(files.with_for_update(key_share=True))


def _lock_file(session: Session, media_file_id: int) -> None:
    session.execute(select(MediaFile.id).where(MediaFile.id == media_file_id).with_for_update(key_share=True))


def _matched(session: Session, statement: Update) -> int:
    return len(session.execute(statement.returning(Task.id)).all())
