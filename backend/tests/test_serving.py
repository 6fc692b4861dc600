"""The API as a process, as containers run it: started by uvicorn, asked by its health check, stopped by SIGTERM."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from app.db import scratch
from tests.serving import check, serving

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import URL

    from tests.redis_server import RedisServer


@pytest.mark.parametrize("workers", [1, 2])
def test_it_serves_logs_json_and_ends_at_sigterm(
    broker: RedisServer, pooled_database: URL, tmp_path: Path, workers: int
) -> None:
    (tmp_path / "key").write_text("s3cret" * 6)
    (tmp_path / "password").write_text(broker.password)
    (tmp_path / "database").write_text(str(pooled_database.password))
    (tmp_path / "media").mkdir()
    settings = {
        "DATABASE_URL": pooled_database._replace(password=None).render_as_string(),
        "DATABASE_PASSWORD_FILE": str(tmp_path / "database"),
        "DB_BEHIND_POOLER": "true",
        "REDIS_URL": f"redis://app@127.0.0.1:{broker.port}/0",
        "REDIS_PASSWORD_FILE": str(tmp_path / "password"),
        "JWT_SECRET_FILE": str(tmp_path / "key"),
        "MEDIA_ROOT": str(tmp_path / "media"),
    }
    with serving(tmp_path, workers, **settings) as api:
        api.until_ready()
        assert check("api", api.port).stdout == "ready\n"
        api.process.terminate()
        assert api.process.wait(20) in (0, -15)
        assert check("api", api.port).returncode == 1
    text = api.log.read_text()
    assert all(json.loads(line)["level"] == "info" for line in text.splitlines())
    assert not any(secret in text for secret in ("s3cret", broker.password, str(pooled_database.password)))


def test_the_check_says_in_one_line_why_it_is_not_ready(tmp_path: Path) -> None:
    settings = {
        "DATABASE_URL": f"postgresql://u:s3cret@127.0.0.1:{scratch.free_port()}/d",
        "REDIS_URL": f"redis://:s3cret@127.0.0.1:{scratch.free_port()}/0",
        "MEDIA_ROOT": str(tmp_path),
    }
    with serving(tmp_path, 1, **settings) as api:
        while (found := check("api", api.port)).stdout.startswith("ConnectionRefused"):
            assert api.process.poll() is None
    assert found.returncode == 1
    assert found.stdout == "not ready: database: unreachable, redis: unreachable, broker: it takes no messages\n"


@pytest.mark.parametrize("words", [[], ["api", "x"], ["both"]])
def test_the_check_refuses_other_words(words: list[str]) -> None:
    found = check(*words)
    assert (found.returncode, found.stdout) == (1, "usage: python -m app.healthcheck api [PORT] | worker\n")


def test_the_check_of_the_api_imports_nothing_that_takes_its_time() -> None:
    """Containers start it every few seconds."""
    code = "import runpy, sys; sys.argv[1:] = ['api', '1']; runpy.run_module('app.healthcheck', run_name='__main__')"
    told = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True, check=False
    ).stderr
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in told.splitlines()}
    assert "http" in imported
    assert not imported & {"sqlalchemy", "pydantic", "pydantic_settings", "fastapi", "celery", "redis", "structlog"}
