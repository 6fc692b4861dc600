"""A real worker on a real Redis and a real database: what is sent is done, whatever restarts meanwhile."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from celery import Celery

from app.db import binaries
from tests.db.sessions import in_transaction, run, until
from tests.recordings import add_file, add_user

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL
    from sqlalchemy.orm import Session

    from tests.redis_server import RedisServer

NODE = f"celery@{socket.gethostname()}"
WORDS = ["--concurrency", "1", "--without-gossip", "--without-mingle", "--without-heartbeat"]
COMMAND = ["--quiet", "--app", "app.core.celery:celery_app", "worker", *WORDS]


@dataclass
class Worker:
    """A worker process; `environment` is what it and its health check run with."""

    process: subprocess.Popen[bytes]
    environment: dict[str, str]
    log: Path

    def check(self) -> subprocess.CompletedProcess[str]:
        """The worker's health check."""
        argv = [sys.executable, "-m", "app.healthcheck", "worker"]
        return subprocess.run(argv, env=self.environment, capture_output=True, text=True, check=False)

    def until_healthy(self) -> None:
        """Asks until the check says so; fails when the worker has ended."""
        while self.check().returncode:
            assert self.process.poll() is None, self.log.read_text()

    def end(self) -> int:
        """Stops it as Docker does, and waits."""
        self.process.terminate()
        return self.process.wait(8)


@contextlib.contextmanager
def working(broker: RedisServer, database: URL, folder: Path, **settings: str) -> Iterator[Worker]:
    """A worker that is ready for work, with its password in a file; ended at the end."""
    (folder / "password").write_text(broker.password)
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    environment |= {
        "PYTHONPATH": str(binaries.CHECKOUT / "backend"),
        "DATABASE_URL": database.render_as_string(hide_password=False),
        "DB_BEHIND_POOLER": "true",
        "REDIS_URL": f"redis://app@127.0.0.1:{broker.port}/0",
        "REDIS_PASSWORD_FILE": str(folder / "password"),
        "PYTHONWARNINGS": "ignore:You're running the worker with superuser",  # as tests in CI do
    }
    environment |= settings
    log = folder / "log"
    with log.open("ab") as output:
        argv = [sys.executable, "-m", "celery", *COMMAND]
        process = subprocess.Popen(argv, env=environment, stdout=output, stderr=output, cwd=folder)
    worker = Worker(process, environment, log)
    try:
        worker.until_healthy()
        yield worker
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.end()
        process.kill()
        process.wait()


@pytest.fixture
def file_id(session: Session) -> int:
    file = add_file(session, add_user(session))
    session.commit()
    return file.id


def send(broker: RedisServer, file_id: int) -> None:
    with Celery(broker=broker.url) as sender:
        sender.send_task("analytics.refresh", [file_id], ignore_result=True)


def until_done(database: URL, file_id: int) -> None:
    until(database, f"SELECT 1 FROM analytics WHERE media_file_id = {file_id}")


def undo(database: URL) -> None:
    run(database, "DELETE FROM analytics")


def test_what_is_sent_is_done_and_logged_in_json_without_secrets(
    broker: RedisServer, database: URL, pooled_database: URL, file_id: int, tmp_path: Path
) -> None:
    with working(broker, pooled_database, tmp_path) as worker:
        send(broker, file_id)
        until_done(database, file_id)
        assert worker.check().stdout == "the worker answers\n"
        assert worker.end() == 0
    text = worker.log.read_text()
    lines = [json.loads(line) for line in text.splitlines() if line and not line.startswith("worker: ")]
    assert any("analytics.refresh" in line["event"] and "succeeded" in line["event"] for line in lines)
    assert broker.password not in text
    assert str(pooled_database.password) not in text
    assert [path.name for path in tmp_path.iterdir() if path.name not in ("log", "password")] == []
    assert worker.check().returncode == 1


def test_it_goes_on_when_redis_was_away(
    own_broker: RedisServer, database: URL, pooled_database: URL, file_id: int, tmp_path: Path
) -> None:
    with working(own_broker, pooled_database, tmp_path) as worker:
        send(own_broker, file_id)
        until_done(database, file_id)
        undo(database)
        own_broker.stop()
        unhealthy = worker.check()
        assert unhealthy.returncode == 1
        assert len(unhealthy.stdout.splitlines()) == 1
        assert own_broker.password not in unhealthy.stdout + unhealthy.stderr
        own_broker.start()
        send(own_broker, file_id)
        until_done(database, file_id)
        worker.until_healthy()


@contextlib.contextmanager
def blocked(broker: RedisServer, database: URL, file_id: int) -> Iterator[None]:
    """Within it, the task has been sent, has begun, and waits for the file's row."""
    with in_transaction(database, f"SELECT 1 FROM media_file WHERE id = {file_id} FOR UPDATE"):
        send(broker, file_id)
        until(database, "SELECT 1 FROM pg_locks WHERE NOT granted")
        yield


def test_a_worker_that_is_stopped_gives_back_what_it_can_not_finish(
    own_broker: RedisServer, database: URL, pooled_database: URL, file_id: int, tmp_path: Path
) -> None:
    with (
        working(own_broker, pooled_database, tmp_path, WORKER_STOP_SECONDS="1") as worker,
        blocked(own_broker, database, file_id),
    ):
        worker.end()
    with working(own_broker, pooled_database, tmp_path):
        until_done(database, file_id)


def test_a_worker_that_is_stopped_finishes_what_it_can(
    own_broker: RedisServer, database: URL, pooled_database: URL, file_id: int, tmp_path: Path
) -> None:
    with working(own_broker, pooled_database, tmp_path) as worker:
        with blocked(own_broker, database, file_id):
            worker.process.terminate()
        assert worker.process.wait(15) == 0
    until_done(database, file_id)


def test_a_task_whose_process_is_killed_is_done_by_the_next(
    own_broker: RedisServer, database: URL, pooled_database: URL, file_id: int, tmp_path: Path
) -> None:
    with working(own_broker, pooled_database, tmp_path) as worker:
        with blocked(own_broker, database, file_id):
            children = Path(f"/proc/{worker.process.pid}/task/{worker.process.pid}/children").read_text().split()
            for child in children:
                os.kill(int(child), signal.SIGKILL)
        until_done(database, file_id)


def test_a_file_that_is_gone_is_no_error_and_leaves_nothing(
    broker: RedisServer, database: URL, pooled_database: URL, file_id: int, tmp_path: Path
) -> None:
    with working(broker, pooled_database, tmp_path) as worker:
        send(broker, file_id + 1)
        send(broker, file_id)
        until_done(database, file_id)
    assert run(database, "SELECT count(*) FROM analytics") == [(1,)]
    levels = {json.loads(line)["level"] for line in worker.log.read_text().splitlines() if "MediaFileMissing" in line}
    assert levels == {"info"}
