"""SQL on the environment's Postgres, by psql in that service: the local way of a superuser (design §4)."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from opentr.errors import ProcessFailed
from opentr.errors.services import DiskFull

if TYPE_CHECKING:
    from opentr.runtimes.base import Runtime

DATABASE = "opentranscribe"
MAINTENANCE = "postgres"
"""The database to be connected to while ours is renamed, made or dropped."""
APPLICATION = "opentr"
"""How the server's views name our sessions."""
DATA_FOLDER = "the folder of Postgres's data"
"""What $PGDATA is called where a path of the service's own would say nothing to a person."""
_FULL = ("No space left on device", "Check free disk space")


def argv(database: str = DATABASE, *options: str, application: str = APPLICATION) -> list[str]:
    """The psql command: no start-up file, ends at the first error."""
    words = f"dbname={database} application_name={application}"
    return ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", words, *options]


def execute(runtime: Runtime, sql: str, database: str = DATABASE, *, application: str = APPLICATION) -> None:
    """Run statements, each in its own transaction unless they say BEGIN. Raises ProcessFailed, DiskFull."""
    _run(runtime, argv(database, "-f", "-", application=application), sql)


def script(runtime: Runtime, sql: str, database: str = DATABASE, *, application: str = APPLICATION) -> str:
    """Run a script and return the values that its statements gave, a line a row. Raises ProcessFailed."""
    return _run(runtime, argv(database, "--tuples-only", "--no-align", "-f", "-", application=application), sql).strip()


def query(runtime: Runtime, sql: str, database: str = DATABASE) -> list[dict[str, str]]:
    """Run one statement and return its rows, each value as text (NULL as the empty one). Raises ProcessFailed."""
    answer = _run(runtime, argv(database, "--csv", "-f", "-"), sql)
    return list(csv.DictReader(io.StringIO(answer)))


def literal(text: str) -> str:
    """The text as an SQL string."""
    quoted = text.replace("\\", "\\\\").replace("'", "''")
    return f"E'{quoted}'"


def free_bytes(runtime: Runtime) -> int:
    """How much room is left where Postgres keeps its data. Raises ServiceNotRunning, ProcessFailed."""
    said = runtime.run_in("postgres", ["sh", "-c", 'df --output=avail --block-size=1 "$PGDATA"'])
    return int(said.split()[-1])


def _run(runtime: Runtime, words: list[str], sql: str) -> str:
    try:
        return runtime.run_in("postgres", words, stdin=sql)
    except ProcessFailed as failure:
        refuse_full(failure)
        raise


def refuse_full(failure: ProcessFailed) -> None:
    """Raises DiskFull if that is why Postgres failed."""
    if any(sign in failure.stderr for sign in _FULL):
        raise DiskFull("Postgres", DATA_FOLDER, None, engine=False) from failure
