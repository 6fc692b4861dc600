"""PgBouncer's console: what it knows, and holding it paused while something is done to the database behind it.

A pause is held by a program beside the pool (images/pgbouncer/hold_pause), which resumes it when its standard input
ends: whatever happens to us, no client waits for longer than the deadline. A runtime may have no pool: the app's
services connect to Postgres directly there, and nobody can make them wait.
"""

from __future__ import annotations

import csv
import io
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from opentr.errors import ProcessFailed
from opentr.errors.services import PoolNotPaused
from opentr.server import psql, sessions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentr.runtimes.base import Runtime

SERVICE = "pgbouncer"
CONSOLE = ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "--csv"]
CONSOLE += ["-h", "/run/pgbouncer", "-p", "6432", "-U", "pgbouncer", "-d", "pgbouncer"]


def is_there(runtime: Runtime) -> bool:
    """Whether this runtime has a pool at all, running or not."""
    return SERVICE in runtime.defined


def show(runtime: Runtime, what: str) -> list[dict[str, str]]:
    """The rows of SHOW POOLS, SERVERS, DATABASES, ... Raises ServiceNotRunning, ProcessFailed."""
    return list(csv.DictReader(io.StringIO(_console(runtime, f"SHOW {what}"))))


@contextmanager
def paused(runtime: Runtime, deadline_seconds: int) -> Iterator[None]:
    """Hold the pool paused: its clients wait, and it has no connection to the database.

    After the block, and `deadline_seconds` after the beginning in any case, the clients go on, with new connections.
    Half of that time is kept for the block. Raises PoolNotPaused, with the pool as it was before, if transactions go on
    for longer, ProcessFailed if the block took too long. Where there is no pool it does nothing.
    """
    if not is_there(runtime):
        yield
        return
    began = time.monotonic()
    with ExitStack() as stack:
        try:
            stack.enter_context(runtime.held(SERVICE, ["hold_pause", str(deadline_seconds), psql.DATABASE]))
        except ProcessFailed as failure:
            raise _not_paused(runtime, deadline_seconds, failure.stderr) from failure
        if time.monotonic() - began > deadline_seconds / 2:
            raise _not_paused(runtime, deadline_seconds / 2, "a transaction that has ended now")
        yield


def _not_paused(runtime: Runtime, seconds: float, said: str) -> PoolNotPaused:
    found = blocking(runtime, seconds)
    return PoolNotPaused(seconds, [str(each) for each in found], [each.pid for each in found], said)


def resume(runtime: Runtime) -> None:
    """Let the clients go on, if a pause is left. Raises ServiceNotRunning, ProcessFailed."""
    if any(row["name"] == psql.DATABASE and row["paused"] == "1" for row in show(runtime, "DATABASES")):
        _console(runtime, f"RESUME {psql.DATABASE}")


def blocking(runtime: Runtime, seconds: float) -> list[sessions.Session]:
    """The pool's sessions that have been in a transaction for so long; a pause waits for them."""
    servers = [int(row["remote_pid"]) for row in show(runtime, "SERVERS") if row["database"] == psql.DATABASE]
    return sessions.in_transaction(runtime, servers, seconds)


def _console(runtime: Runtime, command: str) -> str:
    return runtime.run_in(SERVICE, [*CONSOLE, "-c", command])
