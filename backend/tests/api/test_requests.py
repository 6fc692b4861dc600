from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text

from app.api.deps import DatabaseSession  # noqa: TC001 - FastAPI reads it when it runs
from app.core import logging as log_lines
from app.main import create_app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastapi import FastAPI

    from app.core.config import Settings


@pytest.fixture
def app(settings_with: Callable[..., Settings]) -> FastAPI:
    app = create_app(settings_with())

    @app.get("/api/boom")
    def boom() -> None:
        raise RuntimeError("at postgresql://u:s3cret@h/d")

    @app.get("/api/slow")
    def slow(db: DatabaseSession) -> None:
        db.execute(text("SET LOCAL statement_timeout = '10ms'"))
        db.execute(text("SELECT pg_sleep(60)"))

    @app.get("/api/mistake")
    def mistake(db: DatabaseSession) -> None:
        db.execute(text("SELECT nonsense"))

    return app


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers, root.level
    yield stream
    root.handlers = handlers
    root.setLevel(level)


@pytest.fixture
def caller(app: FastAPI, stream: io.StringIO) -> Iterator[TestClient]:
    with TestClient(app) as client:
        log_lines.configure("INFO", "json", stream)
        yield client


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines() if '"logger": "app' in line]


def test_each_request_is_one_line_without_its_query(caller: TestClient, stream: io.StringIO) -> None:
    caller.get("/api/files/?token=s3cret", headers={"X-Request-ID": "my-id.1"})
    (line,) = lines(stream)
    assert (line["event"], line["method"], line["path"], line["status"]) == ("request", "GET", "/api/files/", 401)
    assert line["request_id"] == "my-id.1"
    assert line["duration_ms"] >= 0
    assert "s3cret" not in stream.getvalue()


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "a\tb", "<script>"])
def test_an_id_that_is_none_is_replaced(caller: TestClient, stream: io.StringIO, given: str) -> None:
    answer = caller.get("/api/files", headers={"X-Request-ID": given})
    made = answer.headers["X-Request-ID"]
    assert len(made) == 32
    assert lines(stream)[0]["request_id"] == made


def test_a_good_id_comes_back(caller: TestClient) -> None:
    assert caller.get("/health", headers={"X-Request-ID": "abc-1"}).headers["X-Request-ID"] == "abc-1"


def test_machines_that_ask_for_health_leave_no_line(caller: TestClient, stream: io.StringIO) -> None:
    caller.get("/health")
    caller.get("/ready")
    assert lines(stream) == []


def test_an_unhandled_error_is_500_with_the_id_and_its_traceback_is_in_the_log(
    caller: TestClient, stream: io.StringIO
) -> None:
    answer = caller.get("/api/boom", headers={"X-Request-ID": "r1"})
    assert answer.status_code == 500
    assert answer.json() == {"detail": "Internal Server Error", "request_id": "r1"}
    assert answer.headers["X-Request-ID"] == "r1"
    error, request = lines(stream)
    assert "RuntimeError" in error["exception"]
    assert (error["request_id"], request["status"]) == ("r1", 500)
    assert "s3cret" not in stream.getvalue()


def test_a_statement_that_takes_too_long_is_503_and_a_wrong_one_500(caller: TestClient) -> None:
    assert caller.get("/api/slow").status_code == 503
    assert caller.get("/api/mistake").status_code == 500
