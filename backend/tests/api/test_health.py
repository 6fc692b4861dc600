"""/health says that the process runs, /ready that it can serve, in two seconds, whatever hangs."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from fastapi.testclient import TestClient

from app.db import scratch
from app.db.errors import BadInput
from app.main import create_app
from tests.db.rows import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import URL, Engine

    from app.core.config import Settings
    from tests.pgbouncer import PgBouncer
    from tests.redis_server import RedisServer

    ReadyWith = Callable[..., tuple[int, dict[str, str]]]

OK = {"database": "ok", "redis": "ok", "broker": "ok", "media": "ok"}


@contextlib.contextmanager
def hanging_port() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        yield listener.getsockname()[1]


def ready(client: TestClient) -> tuple[int, dict[str, str]]:
    answer = client.get("/ready")
    body = answer.json()
    assert body["ready"] is (answer.status_code == 200)
    assert body["version"] == client.app.version  # type: ignore[attr-defined]
    assert "127.0.0.1" not in answer.text
    return answer.status_code, body["checks"]


@pytest.fixture
def ready_with(settings_with: Callable[..., Settings]) -> Callable[..., tuple[int, dict[str, str]]]:
    """A function: what /ready says with these settings."""
    return lambda **others: ready(TestClient(create_app(settings_with(**others))))


def test_it_is_ready_on_a_database_that_init_db_made_stamped_or_not(ready_with: ReadyWith) -> None:
    assert ready_with() == (200, OK)


def test_without_a_database(ready_with: ReadyWith, application: Engine) -> None:
    nowhere = application.url.set(port=scratch.free_port()).render_as_string(hide_password=False)
    assert ready_with(DATABASE_URL=nowhere) == (503, OK | {"database": "unreachable"})


def test_without_redis(ready_with: ReadyWith) -> None:
    nowhere = f"redis://app:secret@127.0.0.1:{scratch.free_port()}/0"
    assert ready_with(REDIS_URL=nowhere) == (503, OK | {"redis": "unreachable", "broker": "it takes no messages"})


def test_with_a_wrong_password_of_redis(ready_with: ReadyWith, broker: RedisServer) -> None:
    wrong = f"redis://app:wrong@127.0.0.1:{broker.port}/0"
    assert ready_with(REDIS_URL=wrong) == (
        503,
        OK | {"redis": "it refuses the password", "broker": "it takes no messages"},
    )


def test_without_a_media_store(ready_with: ReadyWith, tmp_path: Path) -> None:
    reason = {"media": "No such file or directory"}
    assert ready_with(MEDIA_ROOT=tmp_path / "nowhere") == (503, OK | reason)


def test_with_a_bucket_that_does_not_answer(ready_with: ReadyWith, tmp_path: Path) -> None:
    with hanging_port() as port:
        bucket: dict[str, object] = {"MEDIA_URL": "s3://bucket", "MEDIA_S3_ENDPOINT": f"http://127.0.0.1:{port}"}
        bucket |= dict.fromkeys(("MEDIA_S3_KEY_FILE", "MEDIA_S3_SECRET_FILE"), tmp_path / "key")
        assert ready_with(**bucket) == (503, OK | {"media": "no answer within 2 s"})


def test_where_both_hang_it_says_so_in_two_seconds_and_other_requests_go_on(
    settings_with: Callable[..., Settings],
) -> None:
    with hanging_port() as port:
        urls = {"DATABASE_URL": f"postgresql://u:p@127.0.0.1:{port}/d", "REDIS_URL": f"redis://127.0.0.1:{port}/0"}
        with TestClient(create_app(settings_with(**urls))) as client, ThreadPoolExecutor(60) as threads:
            began = time.monotonic()
            asked = [threads.submit(ready, client) for _ in range(60)]
            assert client.get("/health").status_code == 200
            assert client.get("/api/files", headers={"Authorization": "Bearer x"}).status_code == 401
            assert time.monotonic() - began < 1.5
            late = OK | dict.fromkeys(("database", "redis", "broker"), "no answer within 2 s")
            assert [each.result() for each in asked] == [(503, late)] * 60
            assert time.monotonic() - began < 4


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("UPDATE schema_release SET oldest_release = '99.10.0'", "its schema asks for release 99.10.0 or newer"),
        ("DELETE FROM schema_release", "its tables are incomplete"),
        ("DROP TABLE media_file CASCADE", "its tables are incomplete"),
        ("DROP TABLE schema_release", "it has no tables, or none of a release like this"),
    ],
)
def test_a_schema_that_this_release_can_not_work_on(
    ready_with: ReadyWith, database: URL, statement: str, reason: str
) -> None:
    run(database, statement)
    assert ready_with() == (503, OK | {"database": reason})


def test_a_schema_that_is_newer_and_says_that_we_may_is_fine(ready_with: ReadyWith, database: URL) -> None:
    statements = [
        "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)",
        "INSERT INTO alembic_version VALUES ('0999')",
        "ALTER TABLE media_file ADD mood text",
    ]
    run(database, *statements, "UPDATE schema_release SET oldest_release = '0.0.9'")
    assert ready_with() == (200, OK)


def test_it_becomes_ready_when_redis_is_back(settings_with: Callable[..., Settings], own_broker: RedisServer) -> None:
    client = TestClient(create_app(settings_with(REDIS_URL=own_broker.url)))
    assert ready(client)[0] == 200
    own_broker.stop()
    while ready(client)[0] == 200:
        pass
    own_broker.start()
    while ready(client)[0] != 200:
        pass


def test_it_waits_out_a_short_pause_of_the_pool_and_tells_of_a_long_one(
    settings_with: Callable[..., Settings], pool: PgBouncer, pooled_database: URL
) -> None:
    url = pooled_database.render_as_string(hide_password=False)
    client = TestClient(create_app(settings_with(DATABASE_URL=url)))
    pool.console("PAUSE")
    try:
        assert ready(client) == (503, OK | {"database": "no answer within 2 s"})
        with ThreadPoolExecutor(1) as threads:
            asked = threads.submit(ready, client)
            while not any(row[3] for row in pool.console("SHOW POOLS") if row[1] == "app_rw"):
                pass  # until it waits in the pool: column cl_waiting
            pool.console("RESUME")
            assert asked.result() == (200, OK)
    finally:
        pool.console("RESUME") if any(row[-1] for row in pool.console("SHOW DATABASES")) else None


def test_health_asks_nobody(settings_with: Callable[..., Settings]) -> None:
    urls = {"DATABASE_URL": "postgresql://u@127.0.0.1:1/d", "REDIS_URL": "redis://127.0.0.1:1/0"}
    answer = TestClient(create_app(settings_with(**urls))).get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


_IN_A_PROCESS_OF_UVICORNS = """
import multiprocessing, sys
from fastapi.testclient import TestClient

def serve():
    from app.main import app
    with TestClient(app):
        print("serves")

if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=serve)
    process.start()
    process.join()
    sys.exit(process.exitcode)
"""


def test_several_processes_without_a_common_key_do_not_start(tmp_path: Path) -> None:
    program = tmp_path / "several.py"
    program.write_text(_IN_A_PROCESS_OF_UVICORNS)
    ended = subprocess.run([sys.executable, program], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert f"{BadInput.__name__}: JWT_SECRET_FILE is not set, and these processes need one key" in ended.stderr
    assert "serves" not in ended.stdout


def test_one_process_without_a_key_says_that_its_tokens_end_with_it(
    settings_with: Callable[..., Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    with TestClient(create_app(settings_with(JWT_SECRET_FILE=None))):
        pass
    (line,) = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (line["level"], line["event"][:29]) == ("warning", "JWT_SECRET_FILE is not set: a")
