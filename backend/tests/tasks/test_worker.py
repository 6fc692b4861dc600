"""A real worker on a real Redis and a real database: what is sent is done, stopped in time, and told in the log."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.db.sessions import run, until
from tests.tasks.workers import held, record, send, sent, until_begun, until_ended, working
from tests.working import cancel, enqueue, file_status, task

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import URL

    from tests.redis_server import RedisServer

SEND = """
import structlog, sys
from app.services import messages
structlog.contextvars.bind_contextvars(request_id="the-request")
assert messages.send(sys.argv[1:])
assert messages.waiting() <= 1
"""


def test_what_is_sent_is_done_and_logged_in_json_without_secrets(
    broker: RedisServer, database: URL, pooled_database: URL, tmp_path: Path
) -> None:
    with working(broker, pooled_database, tmp_path) as worker:
        task_id = enqueue(record(tmp_path, database))
        subprocess.run([sys.executable, "-c", SEND, task_id], env=worker.environment, check=True)
        assert until_ended(database, task_id) == "completed"
        assert worker.check().stdout == "the worker answers\n"
        assert worker.end() == 0
    found = task(task_id)
    assert (found.progress, found.attempts, found.error_message) == (1.0, 1, None)
    assert run(database, "SELECT text, start_time FROM transcript_segment") == [("heard", 0.0)]
    ours = [line for line in worker.lines() if line.get("task_id") == task_id]
    assert ours
    assert {line["request_id"] for line in ours} == {"the-request"}
    assert any("transcription.run" in line["event"] and "succeeded" in line["event"] for line in worker.lines())
    assert broker.password not in worker.log
    assert str(pooled_database.password) not in worker.log
    assert {path.name for path in tmp_path.iterdir()} == {"log", "password", "media"}
    assert worker.check().returncode == 1


def test_it_goes_on_when_redis_was_away(
    own_broker: RedisServer, database: URL, pooled_database: URL, tmp_path: Path
) -> None:
    with working(own_broker, pooled_database, tmp_path) as worker:
        until_ended(database, sent(own_broker, tmp_path, database))
        own_broker.stop()
        unhealthy = worker.check()
        assert unhealthy.returncode == 1
        assert len(unhealthy.stdout.splitlines()) == 1
        assert own_broker.password not in unhealthy.stdout + unhealthy.stderr
        own_broker.start()
        assert until_ended(database, sent(own_broker, tmp_path, database)) == "completed"
        worker.until_healthy()


def test_a_worker_that_is_stopped_gives_back_what_it_can_not_finish(
    own_broker: RedisServer, database: URL, pooled_database: URL, tmp_path: Path
) -> None:
    task_id = sent(own_broker, tmp_path, database)
    with held(tmp_path), working(own_broker, pooled_database, tmp_path, "Stuck", WORKER_STOP_SECONDS="1") as worker:
        until_begun(tmp_path)
        assert task(task_id).attempts == 1
        worker.end()
        assert (task(task_id).status, task(task_id).attempts) == ("pending", 0)
    with working(own_broker, pooled_database, tmp_path):
        assert until_ended(database, task_id) == "completed"
    assert task(task_id).attempts == 1


def test_a_worker_that_is_stopped_finishes_what_it_can(
    own_broker: RedisServer, database: URL, pooled_database: URL, tmp_path: Path
) -> None:
    with working(own_broker, pooled_database, tmp_path, "Stuck") as worker:
        with held(tmp_path):
            task_id = sent(own_broker, tmp_path, database)
            until_begun(tmp_path)
            worker.process.terminate()
        assert worker.process.wait(15) == 0
    assert task(task_id).status == "completed"


def test_progress_is_told_while_it_works_and_cancelling_ends_it(
    broker: RedisServer, database: URL, pooled_database: URL, tmp_path: Path
) -> None:
    with working(broker, pooled_database, tmp_path, "Held") as worker, held(tmp_path):
        file_id = record(tmp_path, database)
        task_id = enqueue(file_id)
        send(broker, task_id)
        until_begun(tmp_path)
        until(database, "SELECT 1 FROM task WHERE status = 'in_progress' AND progress > 0.5")
        cancel(task_id)
        while "stopped: cancelled" not in worker.log:
            pass
        send(broker, task_id)
        while worker.log.count("nothing to do") < 1:
            pass
    assert (task(task_id).status, task(task_id).error_message) == ("failed", "cancelled")
    assert file_status(file_id) == "error"
    assert run(database, "SELECT count(*) FROM transcript_segment") == [(0,)]


def test_a_file_that_is_deleted_meanwhile_ends_its_task_quietly(
    broker: RedisServer, database: URL, pooled_database: URL, tmp_path: Path
) -> None:
    with working(broker, pooled_database, tmp_path, "Stuck") as worker:
        with held(tmp_path):
            task_id = sent(broker, tmp_path, database)
            until_begun(tmp_path)
            run(database, "DELETE FROM media_file")
        assert until_ended(database, sent(broker, tmp_path, database)) == "completed"
        assert {line["level"] for line in worker.lines() if line.get("task_id") == task_id} == {"info"}
        assert "stopped: cancelled, deleted" in worker.log


def test_a_file_that_nobody_can_hear_ends_as_error_in_words(
    broker: RedisServer, database: URL, pooled_database: URL, tmp_path: Path
) -> None:
    with working(broker, pooled_database, tmp_path):
        empty = sent(broker, tmp_path, database, b"")
        gone = sent(broker, tmp_path, database)
        run(database, "UPDATE media_file SET storage_path = 'user_1/nowhere.wav' WHERE storage_path LIKE '%talk.wav'")
        assert until_ended(database, empty) == "failed"
        assert until_ended(database, gone) == "failed"
    assert run(database, "SELECT DISTINCT status FROM media_file") == [("error",)]
    assert "in the media store" in str(task(gone).error_message)


def test_a_fault_of_ours_is_tried_again_and_then_told(
    broker: RedisServer, database: URL, pooled_database: URL, tmp_path: Path
) -> None:
    with working(broker, pooled_database, tmp_path, "Failing", SWEEP_SECONDS="1") as worker:
        task_id = sent(broker, tmp_path, database)
        assert until_ended(database, task_id) == "failed"
    assert task(task_id).attempts == 2
    assert str(task(task_id).error_message).startswith("something went wrong on our side (ZeroDivisionError)")
    assert [line["attempt"] for line in worker.lines() if line["event"] == "transcription failed"] == [1, 2]


def test_without_its_engine_a_recording_waits(
    broker: RedisServer, database: URL, pooled_database: URL, tmp_path: Path
) -> None:
    task_id = sent(broker, tmp_path, database)
    with working(broker, pooled_database, tmp_path, "Missing", SWEEP_SECONDS="1") as worker:
        while worker.log.count("given back") < 3:
            pass
    assert "the engine can't be loaded" in str(task(task_id).error_message)
    with working(broker, pooled_database, tmp_path, SWEEP_SECONDS="1"):
        assert until_ended(database, task_id) == "completed"
    assert task(task_id).attempts == 1


def test_while_the_media_store_is_away_a_recording_waits(
    broker: RedisServer, database: URL, pooled_database: URL, tmp_path: Path
) -> None:
    task_id = sent(broker, tmp_path, database)
    (tmp_path / "media").rename(tmp_path / "elsewhere")
    with working(broker, pooled_database, tmp_path, SWEEP_SECONDS="1") as worker:
        while worker.log.count("given back") < 2:
            pass
        while task(task_id).error_message != "the media store is not available":  # a third claim clears it meanwhile
            pass
        (tmp_path / "elsewhere").rename(tmp_path / "media")
        assert until_ended(database, task_id) == "completed"
    assert (task(task_id).attempts, task(task_id).error_message) == (1, None)
