"""A task's life: queued once, claimed by one, kept by a lease, ended by who holds it, given back, cancelled."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.exc import IntegrityError

from app.core.config import settings
from app.db.session_utils import session_scope
from app.models import FileStatus, MediaFile, TaskStatus
from app.services import work
from app.services.errors import Conflict
from tests.db.sessions import run, until
from tests.working import (
    cancel,
    claimed,
    enqueue,
    fail,
    file_status,
    finish,
    give_back,
    let_leases_run_out,
    new_file,
    queued,
    refused,
    task,
)

if TYPE_CHECKING:
    from sqlalchemy import URL

pytestmark = pytest.mark.usefixtures("application")


def test_a_new_task_waits_and_so_does_its_file(file_id: int, task_id: str) -> None:
    found = task(task_id)
    assert (found.status, found.task_type, found.attempts, found.progress) == ("pending", "transcription", 0, 0.0)
    assert found.sent_at is not None
    assert file_status(file_id) is FileStatus.PENDING


def test_a_file_has_one_unfinished_task(file_id: int, task_id: str) -> None:
    with pytest.raises(work.TaskUnfinished, match="being transcribed already") as caught:
        enqueue(file_id)
    assert isinstance(caught.value, Conflict)
    claim = claimed(task_id)
    with pytest.raises(work.TaskUnfinished):
        enqueue(file_id)
    finish(claim)
    assert enqueue(file_id) != task_id
    assert file_status(file_id) is FileStatus.PENDING


def test_of_two_that_enqueue_at_once_one_is_refused(file_id: int, database: URL) -> None:
    with ThreadPoolExecutor(1) as other, session_scope() as session:
        queued(session, file_id)
        second = other.submit(enqueue, file_id)
        until(database, "SELECT 1 FROM pg_locks WHERE NOT granted")
        session.commit()
        with pytest.raises(work.TaskUnfinished):
            second.result()


def test_an_id_is_taken_once(file_id: int) -> None:
    finish(claimed(enqueue(file_id, "mine")))
    with pytest.raises(IntegrityError):
        enqueue(file_id, "mine")


def test_whoever_claims_has_it_alone(file_id: int, task_id: str) -> None:
    with ThreadPoolExecutor(8) as workers:
        refusals = list(workers.map(refused, [task_id] * 8, map(str, range(8))))
    assert refusals.count(False) == 1
    found = task(task_id)
    assert (found.status, found.attempts, found.lease_holder) == ("in_progress", 1, str(refusals.index(False)))
    assert file_status(file_id) is FileStatus.PROCESSING


@pytest.mark.parametrize(
    "ending", [finish, fail, lambda claim: cancel(claim.task_id)], ids=["done", "failed", "cancelled"]
)
def test_what_has_ended_is_not_begun_again(task_id: str, ending: object) -> None:
    assert callable(ending)
    ending(claimed(task_id))
    assert refused(task_id)


def test_what_is_not_there_is_not_begun(file_id: int, task_id: str, database: URL) -> None:
    assert refused("no such task")
    run(database, f"DELETE FROM media_file WHERE id = {file_id}")
    assert refused(task_id)


def test_tasks_of_other_types_are_nobodys(task_id: str, database: URL) -> None:
    run(database, "UPDATE task SET task_type = 'summary'")
    assert refused(task_id)


def test_a_lease_that_ran_out_is_taken_over_once_and_then_left_to_the_sweeper(task_id: str, database: URL) -> None:
    first = claimed(task_id)
    let_leases_run_out(database)
    assert claimed(task_id, "two").attempt == 2
    with pytest.raises(work.LeaseLost):
        finish(first)
    let_leases_run_out(database)
    assert refused(task_id, "three")


def test_renewing_extends_the_lease_and_stores_the_progress(task_id: str, database: URL) -> None:
    claim = claimed(task_id)
    let_leases_run_out(database)
    assert work.renew(claim, 0.25)
    (left, progress), *_ = run(database, "SELECT extract(epoch FROM lease_expires_at - now()), progress FROM task")
    assert settings.LEASE_SECONDS - 5 < left <= settings.LEASE_SECONDS
    assert progress == 0.25
    assert work.renew(claim)
    assert work.renew(claim, 1.5)
    assert task(task_id).progress == 1.0


def test_a_lease_is_lost_to_who_cancels_takes_over_or_deletes(file_id: int, task_id: str, database: URL) -> None:
    claim = claimed(task_id)
    let_leases_run_out(database)
    second = claimed(task_id, "two")
    assert not work.renew(claim)
    cancel(task_id)
    assert not work.renew(second)
    run(database, f"DELETE FROM media_file WHERE id = {file_id}")
    assert not work.renew(second)


def test_who_finishes_completes_task_and_file(file_id: int, task_id: str) -> None:
    finish(claimed(task_id))
    found = task(task_id)
    assert (found.status, found.progress, found.lease_holder) == ("completed", 1.0, None)
    assert found.completed_at is not None
    with session_scope() as session:
        file = session.get_one(MediaFile, file_id)
        assert (file.status, file.completed_at) == (FileStatus.COMPLETED, found.completed_at)


def test_what_fails_says_why(file_id: int, task_id: str) -> None:
    fail(claimed(task_id), "the file is empty")
    assert (task(task_id).status, task(task_id).error_message) == (TaskStatus.FAILED, "the file is empty")
    assert file_status(file_id) is FileStatus.ERROR


def test_without_the_lease_nothing_of_a_transaction_stays(file_id: int, task_id: str, database: URL) -> None:
    claim = claimed(task_id)
    cancel(task_id)
    with pytest.raises(work.LeaseLost), session_scope() as session:  # noqa: PT012 - the block is the transaction
        session.get_one(MediaFile, file_id).title = "made by a worker that has lost it"
        work.finish(session, claim)
    assert run(database, "SELECT title FROM media_file") == [(None,)]
    for ending in (fail, give_back):
        with pytest.raises(work.LeaseLost):
            ending(claim)


@pytest.mark.parametrize(("counted", "attempts"), [(False, 0), (True, 1)])
def test_what_is_given_back_waits_for_the_sweeper(file_id: int, task_id: str, *, counted: bool, attempts: int) -> None:
    give_back(claimed(task_id), counted=counted)
    found = task(task_id)
    assert (found.status, found.attempts, found.sent_at, found.lease_holder) == ("pending", attempts, None, None)
    assert found.error_message == "the store is away"
    assert file_status(file_id) is FileStatus.PENDING
    claimed(task_id)
    assert task(task_id).error_message is None


def test_a_worker_gives_back_all_that_is_its_own() -> None:
    ids = [enqueue(new_file()) for _ in range(3)]
    for task_id, holder in zip(ids, ("a%b/1/x", "a%b/2/y", "acb/1/z"), strict=True):
        claimed(task_id, holder)
    assert work.give_back_all("a%b") == 2
    assert [task(task_id).status for task_id in ids] == ["pending", "pending", "in_progress"]
    assert [task(task_id).attempts for task_id in ids] == [0, 0, 1]
    assert work.give_back_all("a%b") == 0


def test_who_gives_back_waits_for_who_is_just_finishing(file_id: int, task_id: str, database: URL) -> None:
    """The file's row is locked first by both, so neither waits for the other for ever."""
    claim = claimed(task_id)
    with ThreadPoolExecutor(1) as other, session_scope() as session:
        session.get(MediaFile, file_id, with_for_update={"key_share": True})
        given = other.submit(work.give_back_all, "one")
        until(database, "SELECT 1 FROM pg_locks WHERE NOT granted")
        work.finish(session, claim)
        session.commit()
        assert given.result() == 0
    assert task(task_id).status is TaskStatus.COMPLETED


def test_cancelling_ends_what_waits_and_what_is_in_progress(file_id: int, task_id: str) -> None:
    cancel(task_id)
    cancel(task_id)
    found = task(task_id)
    assert (found.status, found.error_message) == (TaskStatus.FAILED, "cancelled")
    assert found.completed_at is not None
    assert file_status(file_id) is FileStatus.ERROR
    again = enqueue(file_id)
    claim = claimed(again)
    cancel(again)
    assert not work.renew(claim)
    assert task(again).lease_holder is None


@pytest.mark.parametrize("ending", [finish, fail])
def test_what_has_ended_can_not_be_cancelled(task_id: str, ending: object) -> None:
    assert callable(ending)
    ending(claimed(task_id))
    before = task(task_id).status
    with pytest.raises(work.TaskFinished, match=f"has ended as {before}") as caught:
        cancel(task_id)
    assert isinstance(caught.value, Conflict)
    assert task(task_id).status is before
