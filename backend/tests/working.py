"""Tasks as their workers, their users and time would change them; each call is a transaction of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from app.db.session_utils import session_scope
from app.models import FileStatus, MediaFile, Task
from app.services import work
from tests.db.sessions import run
from tests.recordings import add_file, add_user

if TYPE_CHECKING:
    from sqlalchemy import URL
    from sqlalchemy.orm import Session


def new_file() -> int:
    with session_scope() as session:
        return add_file(session, add_user(session)).id


def queued(session: Session, file_id: int, task_id: str | None = None) -> Task:
    return work.enqueue(session, session.get_one(MediaFile, file_id).user_id, file_id, task_id)


def enqueue(file_id: int, task_id: str | None = None) -> str:
    with session_scope() as session:
        return queued(session, file_id, task_id).id


def claimed(task_id: str, holder: str = "one") -> work.Claim:
    with session_scope() as session:
        claim = work.claim(session, task_id, holder)
    assert claim is not None
    return claim


def refused(task_id: str, holder: str = "two") -> bool:
    with session_scope() as session:
        return work.claim(session, task_id, holder) is None


def task(task_id: str) -> Task:
    with session_scope() as session:
        found = session.get_one(Task, task_id)
        session.expunge(found)
    return found


def file_status(file_id: int) -> FileStatus | None:
    with session_scope() as session:
        return session.scalar(select(MediaFile.status).where(MediaFile.id == file_id))


def let_leases_run_out(database: URL) -> None:
    run(database, "UPDATE task SET lease_expires_at = now() - interval '1 second' WHERE lease_holder IS NOT NULL")


def finish(claim: work.Claim) -> None:
    with session_scope() as session:
        work.finish(session, claim)


def fail(claim: work.Claim, reason: str = "damaged") -> None:
    with session_scope() as session:
        work.fail(session, claim, reason)


def give_back(claim: work.Claim, *, counted: bool = False) -> None:
    with session_scope() as session:
        work.give_back(session, claim, "the store is away", counted=counted)


def cancel(task_id: str) -> None:
    with session_scope() as session:
        work.cancel(session, session.get_one(Task, task_id))
