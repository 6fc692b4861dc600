"""What is in a database: its tables' rows, its size, its revision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentr.server import psql

if TYPE_CHECKING:
    from opentr.runtimes.base import Runtime

# One statement a table, run by \gexec in the same transaction.
_ROWS = r"""
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
{snapshot}
SELECT format('SELECT %L, count(*) FROM ONLY %I.%I', n.nspname || '.' || c.relname, n.nspname, c.relname)
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
ORDER BY n.nspname, c.relname \gexec
COMMIT;
"""
_WRITTEN = r"""
SELECT format('SELECT %L FROM ONLY %I.%I WHERE age(xmin) <= age(%L::xid) LIMIT 1',
    n.nspname || '.' || c.relname, n.nspname, c.relname, '{transaction}')
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
ORDER BY n.nspname, c.relname \gexec
"""
_SEPARATOR = "|"
_REVISION = r"""
SELECT to_regclass('public.alembic_version') IS NOT NULL AS stamped \gset
\if :stamped
SELECT version_num FROM public.alembic_version;
\endif
"""


_OLDEST_RELEASE = r"""
SELECT to_regclass('public.schema_release') IS NOT NULL AS told \gset
\if :told
SELECT oldest_release FROM public.schema_release;
\endif
"""


def rows(runtime: Runtime, database: str, snapshot: str | None = None) -> dict[str, int]:
    """Table -> rows, all counted in one snapshot: this one, or a new one. Raises ProcessFailed."""
    choice = f"SET TRANSACTION SNAPSHOT {psql.literal(snapshot)};" if snapshot else ""
    counted = (
        line.rpartition(_SEPARATOR)
        for line in psql.script(runtime, _ROWS.format(snapshot=choice), database).splitlines()
    )
    return {name: int(count) for name, _, count in counted}


def next_transaction(runtime: Runtime) -> str:
    """The id that the server's next transaction gets, as an xid. Raises ProcessFailed."""
    sql = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::numeric % 4294967296"
    return psql.script(runtime, sql, psql.MAINTENANCE)


def written_since(runtime: Runtime, database: str, transaction: str) -> list[str]:
    """The tables that hold a row which this transaction or a later one wrote. Raises ProcessFailed."""
    return psql.script(runtime, _WRITTEN.format(transaction=transaction), database).splitlines()


def revision(runtime: Runtime, database: str) -> str:
    """The revision that the database says it is at; empty if it says none. Raises ProcessFailed."""
    return psql.script(runtime, _REVISION, database)


def oldest_release(runtime: Runtime, database: str) -> str:
    """The oldest release of the app that its schema tolerates; empty if it says none. Raises ProcessFailed."""
    return psql.script(runtime, _OLDEST_RELEASE, database)


def size_bytes(runtime: Runtime, database: str) -> int:
    """What the database takes on the disk. Raises ProcessFailed."""
    return int(psql.script(runtime, f"SELECT pg_database_size({psql.literal(database)})", psql.MAINTENANCE))
