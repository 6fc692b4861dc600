"""The sessions of the database: who holds up the pool, and ending them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentr.server import psql

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentr.runtimes.base import Runtime

_LITERAL = re.compile(r"'(?:[^']|'')*'")
_SHOWN_CHARACTERS = 80
_ENDING_MILLISECONDS = 5000


@dataclass(frozen=True)
class Session:
    """A session that is in a transaction."""

    pid: int
    application: str
    state: str
    """active, idle in transaction, ..."""
    seconds: int
    """the age of its transaction"""
    query: str
    """its last statement, shortened, without the values in it"""

    def __str__(self) -> str:
        return f"pid {self.pid} ({self.application or 'unnamed'}), {self.state} for {self.seconds} s: {self.query}"


def in_transaction(runtime: Runtime, pids: Sequence[int], seconds: float) -> list[Session]:
    """Those of these sessions whose transaction is at least so old, the oldest first. Raises ProcessFailed."""
    rows = psql.query(runtime, _in_transaction(pids, seconds), psql.MAINTENANCE) if pids else []
    return [
        Session(int(row["pid"]), row["application"], row["state"], int(row["seconds"]), without_values(row["query"]))
        for row in rows
    ]


def end(runtime: Runtime, pids: Sequence[int]) -> None:
    """End these sessions and wait until they are gone. Raises ProcessFailed."""
    psql.execute(runtime, f"SELECT {ending()} FROM pg_stat_activity WHERE {_among(pids)}", psql.MAINTENANCE)


def ending() -> str:
    """The SQL that ends the session in a row of pg_stat_activity, and waits for its end."""
    return f"pg_terminate_backend(pid, {_ENDING_MILLISECONDS})"


def without_values(query: str) -> str:
    """The statement in one short line, with `***` for each string in it."""
    line = " ".join(_LITERAL.sub("'***'", query).split())
    return line if len(line) <= _SHOWN_CHARACTERS else line[: _SHOWN_CHARACTERS - 1] + "…"


def _in_transaction(pids: Sequence[int], seconds: float) -> str:
    return (
        "SELECT pid, application_name AS application, state, query,"
        " extract(epoch FROM clock_timestamp() - xact_start)::int AS seconds"
        f" FROM pg_stat_activity WHERE {_among(pids)}"
        f" AND xact_start < clock_timestamp() - make_interval(secs => {seconds}) ORDER BY xact_start"
    )


def _among(pids: Sequence[int]) -> str:
    return f"pid = ANY (ARRAY[{', '.join(str(pid) for pid in pids)}]::int[])"
