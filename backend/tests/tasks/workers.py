"""Worker processes for tests, and what happens to them."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery import Celery

from app.db import binaries
from app.services import messages
from tests.db.sessions import run, until
from tests.speech import wav_header
from tests.working import enqueue, new_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL

    from tests.redis_server import RedisServer

NODE = f"celery@{socket.gethostname()}"
WORDS = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
COMMAND = ["--quiet", "--app", "app.core.celery:celery_app", "worker", *WORDS]
RESTLESS = {"LEASE_SECONDS": "2", "SWEEP_SECONDS": "1"}
"""Settings with which nobody waits long for what is stranded."""


@dataclass
class Worker:
    """A worker process; `environment` is what it and its health check run with, `folder` where it runs."""

    process: subprocess.Popen[bytes]
    environment: dict[str, str]
    folder: Path

    @property
    def log(self) -> str:
        """All that workers in this folder have said."""
        return (self.folder / "log").read_text()

    def lines(self) -> list[dict[str, Any]]:
        """The log's lines, without what Celery prints beside it."""
        return [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]

    def check(self) -> subprocess.CompletedProcess[str]:
        """The worker's health check."""
        argv = [sys.executable, "-m", "app.healthcheck", "worker"]
        return subprocess.run(argv, env=self.environment, capture_output=True, text=True, check=False)

    def until_healthy(self) -> None:
        """Asks until the check says so; fails when the worker has ended."""
        while self.check().returncode:
            assert self.process.poll() is None, self.log

    def children(self) -> list[int]:
        """The pids of its processes that do the tasks."""
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def end(self) -> int:
        """Stops it as Docker does, and waits."""
        self.process.terminate()
        return self.process.wait(15)


@contextlib.contextmanager
def working(
    broker: RedisServer, database: URL, folder: Path, engine: str = "Quick", processes: int = 1, **settings: str
) -> Iterator[Worker]:
    """A worker that is ready for work, with its password in a file; ended at the end."""
    (folder / "password").write_text(broker.password)
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    environment |= {
        "PYTHONPATH": str(binaries.CHECKOUT / "backend"),
        "DATABASE_URL": database.render_as_string(hide_password=False),
        "DB_BEHIND_POOLER": "true",
        "MEDIA_ROOT": str(folder / "media"),
        "REDIS_URL": f"redis://app@127.0.0.1:{broker.port}/0",
        "REDIS_PASSWORD_FILE": str(folder / "password"),
        "TRANSCRIPTION_ENGINE": f"tests.tasks.engines:{engine}",
        "PYTHONWARNINGS": "ignore:You're running the worker with superuser",  # as tests in CI do
    }
    environment |= settings
    with (folder / "log").open("ab") as output:
        argv = [sys.executable, "-m", "celery", *COMMAND, "--concurrency", str(processes)]
        process = subprocess.Popen(
            argv, env=environment, stdout=output, stderr=output, cwd=folder, start_new_session=True
        )
    worker = Worker(process, environment, folder)
    try:
        worker.until_healthy()
        yield worker
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.end()
        process.kill()
        process.wait()


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Within it, engines of this folder that hold don't get done."""
    (folder / "hold").touch()
    try:
        yield
    finally:
        (folder / "hold").unlink(missing_ok=True)


def send(broker: RedisServer, *task_ids: str) -> None:
    """A message for each, without the row's knowledge."""
    with Celery(broker=broker.url) as sender:
        for task_id in task_ids:
            sender.send_task(messages.TASK_NAME, [task_id], task_id=task_id, ignore_result=True)


def record(folder: Path, database: URL, content: bytes | None = None) -> int:
    """A recording of six seconds in the folder's media store (or a file of this content), and its row's id."""
    file_id = new_file()
    path = folder / "media" / f"user_1/file_{file_id}/talk.wav"
    path.parent.mkdir(parents=True)
    path.write_bytes(wav_header(1, 16_000) if content is None else content)
    run(database, f"UPDATE media_file SET storage_path = 'user_1/file_{file_id}/talk.wav' WHERE id = {file_id}")
    return file_id


def sent(broker: RedisServer, folder: Path, database: URL, content: bytes | None = None) -> str:
    """A task about a new recording, and its message."""
    task_id = enqueue(record(folder, database, content))
    send(broker, task_id)
    return task_id


def until_ended(database: URL, task_id: str) -> str:
    """Waits for the task's end; its status."""
    ended = f"SELECT status FROM task WHERE id = '{task_id}' AND status IN ('completed', 'failed')"
    return str(until(database, ended))


def until_begun(folder: Path, times: int = 1) -> int:
    """Waits until an engine that says so has begun so often; the pid of its process."""
    while len(begun := _begun(folder)) < times:
        pass
    return begun[-1]


def _begun(folder: Path) -> list[int]:
    file = folder / "begun"
    return [int(line) for line in file.read_text().splitlines()] if file.exists() else []
