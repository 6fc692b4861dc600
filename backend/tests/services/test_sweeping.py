"""Stranded tasks and lost messages are found, by any number of sweepers, each once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy.orm import Session

from app.core.config import settings
from app.db.session_utils import session_scope
from app.models import FileStatus, Task, TaskStatus
from app.services.sweeping import KILLED_TWICE, Swept, sweep
from tests.db.sessions import run
from tests.working import cancel, claimed, file_status, give_back, let_leases_run_out, task

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine

pytestmark = pytest.mark.usefixtures("task_id")

NOTHING = Swept([], [], [])


def swept(queued: int | None = 0) -> Swept:
    with session_scope() as session:
        return sweep(session, queued)


def sent_ago(database: URL, seconds: float) -> None:
    run(database, f"UPDATE task SET sent_at = now() - interval '{seconds} seconds'")


def test_live_work_and_ended_work_are_left_alone(task_id: str) -> None:
    claimed(task_id)
    assert swept() == NOTHING
    cancel(task_id)
    assert swept() == NOTHING


def test_a_task_whose_worker_is_gone_is_sent_again(file_id: int, task_id: str, database: URL) -> None:
    claimed(task_id)
    let_leases_run_out(database)
    assert swept() == Swept([task_id], [], [task_id])
    found = task(task_id)
    assert (found.status, found.attempts, found.lease_holder) == (TaskStatus.PENDING, 1, None)
    assert found.sent_at is not None
    assert file_status(file_id) is FileStatus.PENDING
    assert swept() == NOTHING


def test_a_file_that_has_killed_its_worker_twice_ends_as_error(file_id: int, task_id: str, database: URL) -> None:
    for _ in range(2):
        claimed(task_id)
        let_leases_run_out(database)
        found = swept()
    assert found == Swept([], [task_id], [])
    assert (task(task_id).status, task(task_id).error_message) == (TaskStatus.FAILED, KILLED_TWICE)
    assert file_status(file_id) is FileStatus.ERROR
    assert swept() == NOTHING


def test_being_stopped_in_the_middle_never_makes_it_an_error(task_id: str, database: URL) -> None:
    for _ in range(5):
        give_back(claimed(task_id))
        assert swept().unsent == [task_id]
    claimed(task_id)
    let_leases_run_out(database)
    assert swept().stranded == [task_id]


def test_work_that_was_in_progress_before_there_were_leases_is_stranded(task_id: str, database: URL) -> None:
    run(database, "UPDATE task SET status = 'in_progress', sent_at = NULL")
    assert swept() == Swept([task_id], [], [task_id])


def test_what_nobody_ever_sent_is_sent_however_many_messages_wait(task_id: str, database: URL) -> None:
    run(database, "UPDATE task SET sent_at = NULL")
    assert swept(100).unsent == [task_id]


def test_with_an_empty_queue_what_waits_has_no_message(task_id: str, database: URL) -> None:
    assert swept(0) == NOTHING  # it was sent a moment ago
    sent_ago(database, 6)
    assert swept(1) == NOTHING
    assert swept(0).unsent == [task_id]
    assert swept(0) == NOTHING


def test_with_fewer_messages_than_tasks_old_ones_are_sent_again(application: Engine, database: URL) -> None:
    add_tasks(application, 4)
    sent_ago(database, settings.TASK_RESEND_SECONDS - 1)
    assert swept(4) == NOTHING
    sent_ago(database, settings.TASK_RESEND_SECONDS + 1)
    assert swept(5) == NOTHING
    assert len(swept(4).unsent) == 5


def add_tasks(application: Engine, count: int) -> None:
    """More tasks of the same file and type, which only SQL can make."""
    with Session(application) as session:
        known = session.query(Task).one()
        columns = {"user_id": known.user_id, "media_file_id": known.media_file_id, "task_type": known.task_type}
        session.add_all(Task(id=str(n), status=TaskStatus.PENDING, **columns) for n in range(count))
        session.commit()


def test_while_the_broker_is_away_stranded_work_waits_to_be_sent(task_id: str, database: URL) -> None:
    claimed(task_id)
    let_leases_run_out(database)
    assert swept(None) == Swept([task_id], [], [])
    assert task(task_id).sent_at is None
    assert swept(3).unsent == [task_id]


def test_of_two_sweepers_each_task_has_one(task_id: str, database: URL) -> None:
    claimed(task_id)
    let_leases_run_out(database)
    with session_scope() as first:
        assert sweep(first, 0).unsent == [task_id]
        assert swept(0) == NOTHING  # and it doesn't wait
    assert swept(0) == NOTHING


def test_tasks_of_other_types_are_left_alone(database: URL) -> None:
    run(database, "UPDATE task SET task_type = 'summary', sent_at = NULL")
    assert swept() == NOTHING
    run(database, "UPDATE task SET status = 'in_progress'")
    assert swept() == NOTHING


def test_a_large_backlog_is_swept_in_parts(application: Engine, database: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.services.sweeping.MOST_AT_ONCE", 2)
    add_tasks(application, 4)
    sent_ago(database, 60)
    assert [len(swept(0).unsent) for _ in range(4)] == [2, 2, 1, 0]
