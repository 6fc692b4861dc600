"""Whether local services do their work: what the images' health checks ask, asked from outside."""

from __future__ import annotations

import http.client
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opentr import process
from opentr.errors import ProcessFailed, ProcessKilled, ProcessTimedOut

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from opentr.runtimes.base import ServiceState
    from opentr.runtimes.programs import House

STARTING_SECONDS = {"postgres": 3600, "redis": 600, "api": 60, "worker": 60}
"""For so long a service that doesn't answer yet is starting: start_period in docker-compose.dev.yml."""
LOOP = 3
"""A service that has been restarted so often meanwhile doesn't come up any more by itself."""
_SECONDS = 5.0
_WORKER_SECONDS = 10.0
_WORKER_FRESH_SECONDS = 30.0
"""Asking the worker takes most of a second of a processor, so an answer holds as long as in containers (interval)."""
_WRITES = ["psql", "-XAtq", "-U", "postgres", "-d", "postgres", "-c", "SELECT pg_is_in_recovery()"]
_INFO = ["redis-cli", "--user", "health", "--pass", "", "--no-auth-warning", "INFO", "persistence"]
_KEEPS = ("loading:0", "aof_enabled:1", "aof_last_write_status:ok", "aof_last_bgrewrite_status:ok")


def healthy(house: House, records: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Those of these services that do their work, all asked at once; each with its record of who it is."""
    if not records:
        return set()
    checks: dict[str, Callable[[], bool]] = {
        "postgres": lambda: _said(house, "postgres", _WRITES).strip() == "f",
        "redis": lambda: all(line in _said(house, "redis", _INFO) for line in _KEEPS),
        "api": lambda: _ready(house.ports["api"]),
        "worker": lambda: _worker(house, _run_of(records["worker"])),
    }
    with ThreadPoolExecutor(len(checks)) as threads:
        answers = {name: threads.submit(_answered, checks[name]) for name in records}
    return {name for name, answer in answers.items() if answer.result()}


def health(service: str, since: datetime | None, healthy: Collection[str]) -> str:
    """How a service is that runs since then."""
    if service in healthy:
        return "healthy"
    young = since is None or (datetime.now(UTC) - since).total_seconds() < STARTING_SECONDS[service]
    return "starting" if young else "unhealthy"


def failure(state: ServiceState, before: int) -> str | None:
    """Why a service doesn't come up, as words that follow its name; None if it may yet.

    `before` is how often it was restarted before anybody waited for it.
    """
    again = state.restarts - before
    # Told between two runs, if that can be seen, so that the last lines of the log are those of one that has ended.
    if state.state == "exited" or again >= (2 * LOOP if state.state == "running" else LOOP):
        return "ends again and again"  # supervisord keeps no exit code of those that end at once
    return "runs, but its health check fails" if state.health == "unhealthy" else None


def _answered(check: Callable[[], bool]) -> bool:
    try:
        return check()
    except (ProcessFailed, ProcessKilled, ProcessTimedOut, OSError, http.client.HTTPException):
        return False


def _said(house: House, service: str, argv: list[str], seconds: float = _SECONDS) -> str:
    environment = house.environment(service) | {"PGCONNECT_TIMEOUT": "3"}
    return process.run(argv, environment=environment, deadline=seconds)


def _ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == http.client.OK
    finally:
        connection.close()


def _run_of(record: Mapping[str, Any]) -> str:
    """Which run of the worker this is: its keeper, and what that keeps running now (proc(5))."""
    pid = record["pid"]
    return f"{pid} {record['started']} {Path(f'/proc/{pid}/task/{pid}/children').read_text().strip()}"


def _worker(house: House, run: str) -> bool:
    kept = house.layout.run / "worker.healthy"
    if kept.exists() and kept.read_text() == run and time.time() - kept.stat().st_mtime < _WORKER_FRESH_SECONDS:
        return True
    kept.unlink(missing_ok=True)
    _said(house, "worker", ["python", "-m", "app.healthcheck", "worker"], _WORKER_SECONDS)
    kept.write_text(run)
    return True
