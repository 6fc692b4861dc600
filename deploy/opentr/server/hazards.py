"""What on the server would stand in the way of a migration, a backup or a change of images; each with its remedy."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opentr.server import psql, sessions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentr.runtimes.base import Runtime

IDLE_SECONDS = 60
"""A transaction that has been idle for so long has been forgotten: the app ends its own within a second."""
OLD_SECONDS = 600
"""A transaction this old holds back CREATE INDEX CONCURRENTLY and keeps the pool from being paused."""
MIGRATOR = "opentr migrator"
"""How the sessions of the app's migrator are named, the one that holds its lock too (backend/app/db/migrator.py)."""
_PSQL = "./opentr.sh psql prod --write -d postgres -c"

_SERVER = f"""
SELECT json_build_object(
  'major', current_setting('server_version_num')::int / 10000,
  'cluster_bytes', (SELECT sum(pg_database_size(oid)) FROM pg_database),
  'sessions', (SELECT coalesce(json_agg(json_build_object('pid', pid, 'who', coalesce(nullif(application_name, ''),
      'unnamed'), 'state', state, 'seconds', extract(epoch FROM clock_timestamp() - xact_start)::int, 'query', query)
      ORDER BY xact_start), '[]') FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND (
      (state LIKE 'idle in transaction%' AND state_change < clock_timestamp() - interval '{IDLE_SECONDS} s')
      OR xact_start < clock_timestamp() - interval '{OLD_SECONDS} s')),
  'prepared', (SELECT coalesce(json_agg(gid), '[]') FROM pg_prepared_xacts
    WHERE prepared < clock_timestamp() - interval '{IDLE_SECONDS} s'),
  'advisory', (SELECT coalesce(json_agg(DISTINCT jsonb_build_object('pid', a.pid,
      'who', coalesce(nullif(a.application_name, ''), 'unnamed'),
      'seconds', extract(epoch FROM clock_timestamp() - a.state_change)::int)), '[]')
    FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
    WHERE l.locktype = 'advisory' AND l.granted AND a.state = 'idle'
      AND a.state_change < clock_timestamp() - interval '{IDLE_SECONDS} s'),
  'slots', (SELECT coalesce(json_agg(slot_name), '[]') FROM pg_replication_slots WHERE wal_status = 'lost'),
  'migrators', (SELECT coalesce(json_agg(pid), '[]') FROM pg_stat_activity
    WHERE application_name LIKE '{MIGRATOR}%')
)
"""
_INVALID = """
SELECT i.indexrelid::regclass::text AS name FROM pg_index AS i
WHERE NOT i.indisvalid
    AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index AS p WHERE p.index_relid = i.indexrelid)
ORDER BY 1
"""


@dataclass(frozen=True)
class Hazard:
    """One of them, and what to type about it."""

    what: str
    hint: str


@dataclass(frozen=True)
class Server:
    """What was found."""

    major: int
    cluster_bytes: int
    """of all databases together"""
    hazards: list[Hazard]
    invalid_indexes: list[str]
    """in our database; a pending revision may be about to drop one"""


def look(runtime: Runtime) -> Server:
    """Ask the server. Raises ServiceNotRunning, ProcessFailed."""
    found = json.loads(psql.script(runtime, _SERVER, psql.MAINTENANCE))
    invalid = [row["name"] for row in psql.query(runtime, _INVALID)]
    return Server(found["major"], int(found["cluster_bytes"]), list(_hazards(found)), invalid)


def migrators(runtime: Runtime) -> list[str]:
    """The sessions of a migrator that are there now, in words. Raises ServiceNotRunning, ProcessFailed."""
    rows = psql.query(runtime, _MIGRATORS, psql.MAINTENANCE)
    return [f"pid {row['pid']}: {sessions.without_values(row['query'])}" for row in rows]


def end_migrators(runtime: Runtime) -> None:
    """End the sessions of a migrator whose command was cut short, and wait until they are gone; see `migrators`.

    What their transactions had done is undone by the server. Raises ServiceNotRunning, ProcessFailed.
    """
    psql.execute(runtime, f"SELECT {sessions.ending()} FROM pg_stat_activity WHERE {_OF_MIGRATORS}", psql.MAINTENANCE)


_OF_MIGRATORS = f"application_name LIKE '{MIGRATOR}%'"
_MIGRATORS = f"SELECT pid, query FROM pg_stat_activity WHERE {_OF_MIGRATORS}"


def _hazards(found: dict[str, Any]) -> Iterator[Hazard]:
    for each in found["sessions"]:
        session = sessions.Session(each["pid"], each["who"], each["state"], each["seconds"], _short(each["query"]))
        yield Hazard(f"a transaction that doesn't end: {session}", f"end it: {_ending(each['pid'])}")
    for gid in found["prepared"]:
        what = f"a prepared transaction that nobody ends: {gid}"
        yield Hazard(
            what, f"end it: ./opentr.sh psql prod --write -c \"ROLLBACK PREPARED '{gid}'\", or COMMIT PREPARED"
        )
    for each in found["advisory"]:
        what = f"a stranded advisory lock, of a session that is idle for {each['seconds']} s: pid {each['pid']}"
        yield Hazard(f"{what} ({each['who']})", f"end it: {_ending(each['pid'])}")
    for name in found["slots"]:
        what = f"the replication slot {name} has lost the WAL that it needs"
        yield Hazard(what, f"drop it: {_PSQL} \"SELECT pg_drop_replication_slot('{name}')\"")
    for pid in found["migrators"][:1]:
        yield Hazard(f"another migrator is at work: pid {pid}", f"wait until it is done, or end it: {_ending(pid)}")


def _short(query: str) -> str:
    return sessions.without_values(query)


def _ending(pid: int) -> str:
    return f'{_PSQL} "SELECT pg_terminate_backend({pid})"'
