"""What may happen to workers, broker and database while recordings wait: none is lost, none is there twice."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING

import psycopg2

from app.services.sweeping import KILLED_TWICE
from tests.db.sessions import run, until
from tests.tasks.workers import RESTLESS, held, record, send, sent, until_begun, until_ended, working
from tests.working import enqueue, file_status, task

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import URL

    from tests.redis_server import RedisServer
    from tests.servers import Servers


def segments(database: URL) -> list[tuple[int]]:
    """How many segments each file has that has any."""
    return list(run(database, "SELECT count(*) FROM transcript_segment GROUP BY media_file_id"))


def test_a_message_that_is_delivered_twice_does_the_work_once(
    own_broker: RedisServer, database: URL, pooled_database: URL, tmp_path: Path
) -> None:
    with working(own_broker, pooled_database, tmp_path, "Stuck", processes=2) as worker:
        with held(tmp_path):
            task_id = sent(own_broker, tmp_path, database)
            until_begun(tmp_path)
            send(own_broker, task_id)
            while "somebody works on it" not in worker.log:
                pass
        until_ended(database, task_id)
        send(own_broker, task_id)
        while worker.log.count("somebody works on it") < 2:
            pass
    assert task(task_id).attempts == 1
    assert segments(database) == [(1,)]


def test_a_task_whose_process_is_killed_is_done_by_the_next(
    own_broker: RedisServer, database: URL, pooled_database: URL, tmp_path: Path
) -> None:
    with working(own_broker, pooled_database, tmp_path, "Stuck", **RESTLESS), held(tmp_path):
        task_id = sent(own_broker, tmp_path, database)
        os.kill(until_begun(tmp_path), signal.SIGKILL)
        until_begun(tmp_path, 2)
        (tmp_path / "hold").unlink()
        assert until_ended(database, task_id) == "completed"
    assert task(task_id).attempts == 2
    assert segments(database) == [(1,)]


def test_what_a_killed_worker_leaves_is_done_by_another(
    own_broker: RedisServer, database: URL, pooled_database: URL, tmp_path: Path
) -> None:
    """All processes of it at once: nobody tells the broker, whose own patience lasts for hours."""
    with working(own_broker, pooled_database, tmp_path, "Stuck", **RESTLESS) as worker, held(tmp_path):
        ids = [sent(own_broker, tmp_path, database) for _ in range(3)]
        until_begun(tmp_path)
        os.killpg(worker.process.pid, signal.SIGKILL)
        worker.process.wait()
    with working(own_broker, pooled_database, tmp_path, processes=2, **RESTLESS):
        assert {until_ended(database, task_id) for task_id in ids} == {"completed"}
    assert sorted(task(task_id).attempts for task_id in ids) == [1, 1, 2]
    assert segments(database) == [(1,)] * 3


def test_a_file_that_kills_its_worker_twice_ends_as_error(
    own_broker: RedisServer, database: URL, pooled_database: URL, tmp_path: Path
) -> None:
    with working(own_broker, pooled_database, tmp_path, "Killing", **RESTLESS) as worker:
        file_id = record(tmp_path, database)
        task_id = enqueue(file_id)
        send(own_broker, task_id)
        assert until_ended(database, task_id) == "failed"
        worker.until_healthy()
    assert (task(task_id).attempts, task(task_id).error_message) == (2, KILLED_TWICE)
    assert file_status(file_id) == "error"


def test_when_redis_has_lost_everything_all_that_waits_is_sent_again(
    own_broker: RedisServer, database: URL, pooled_database: URL, tmp_path: Path
) -> None:
    with working(own_broker, pooled_database, tmp_path, "Stuck", **RESTLESS), held(tmp_path):
        ids = [sent(own_broker, tmp_path, database) for _ in range(4)]
        until_begun(tmp_path)
        own_broker.client().flushall()
        (tmp_path / "hold").unlink()
        assert {until_ended(database, task_id) for task_id in ids} == {"completed"}
    assert {task(task_id).attempts for task_id in ids} == {1}
    assert segments(database) == [(1,)] * 4


def test_what_was_enqueued_while_redis_was_away_is_sent_later(
    own_broker: RedisServer, database: URL, pooled_database: URL, tmp_path: Path
) -> None:
    with working(own_broker, pooled_database, tmp_path, **RESTLESS):
        own_broker.stop()
        task_id = enqueue(record(tmp_path, database))
        own_broker.start()
        assert until_ended(database, task_id) == "completed"
    assert task(task_id).attempts == 1


@contextlib.contextmanager
def away(servers: Servers, database: URL) -> Iterator[None]:
    """The database takes no connections within it, which lasts longer than any lease."""
    server, name = servers.owner_of(database).url, database.database
    (leases_end,) = run(database, "SELECT max(lease_expires_at) + interval '3 seconds' FROM task")[0]
    run(server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    run(server, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    yield
    until(server, f"SELECT 1 WHERE clock_timestamp() > '{leases_end}'")
    run(server, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


def test_an_outage_of_postgres_costs_no_attempt(
    own_broker: RedisServer, servers: Servers, database: URL, pooled_database: URL, tmp_path: Path
) -> None:
    with working(own_broker, pooled_database, tmp_path, "Held", **RESTLESS), held(tmp_path):
        task_id = sent(own_broker, tmp_path, database)
        until_begun(tmp_path)
        for _ in range(2):
            with away(servers, database):
                pass
            until(database, "SELECT 1 FROM task WHERE lease_expires_at > now()")
        (tmp_path / "hold").unlink()
        assert until_ended(database, task_id) == "completed"
    assert task(task_id).attempts == 1
    assert len(segments(database)) == 1
    assert len((tmp_path / "begun").read_text().split()) == 1


def test_what_is_heard_during_an_outage_of_postgres_is_stored_after_it(
    own_broker: RedisServer, servers: Servers, database: URL, pooled_database: URL, tmp_path: Path
) -> None:
    with working(own_broker, pooled_database, tmp_path, "Stuck", **RESTLESS) as worker:
        with held(tmp_path):
            task_id = sent(own_broker, tmp_path, database)
            until_begun(tmp_path)
            with away(servers, database):
                (tmp_path / "hold").unlink()
                while "the task's end is not stored" not in worker.log:
                    pass
        assert until_ended(database, task_id) == "completed"
    assert task(task_id).attempts == 1
    assert segments(database) == [(1,)]
    assert len((tmp_path / "begun").read_text().split()) == 1


def test_a_crash_of_postgres_costs_nothing(
    own_broker: RedisServer, database: URL, pooled_database: URL, tmp_path: Path
) -> None:
    """One of its processes is killed: all connections end, and it recovers from its log."""
    with working(own_broker, pooled_database, tmp_path, "Held", **RESTLESS), held(tmp_path):
        task_id = sent(own_broker, tmp_path, database)
        until_begun(tmp_path)
        run(database, "CHECKPOINT")  # all tests before this one are in the log, and would be gone through
        os.kill(until(database, "SELECT pid FROM pg_stat_activity WHERE usename = 'app_rw'"), signal.SIGKILL)
        (tmp_path / "hold").unlink()
        while not _ended_by_now(database, task_id):
            pass
    assert (task(task_id).status, task(task_id).attempts) == ("completed", 1)
    assert len(segments(database)) == 1


def _ended_by_now(database: URL, task_id: str) -> bool:
    """False also while Postgres recovers."""
    try:
        return bool(run(database, f"SELECT 1 FROM task WHERE id = '{task_id}' AND status = 'completed'"))
    except psycopg2.Error:
        return False
