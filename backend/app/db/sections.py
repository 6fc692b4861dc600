"""The sections of an inspection: what each asks, who judges its rows, and which columns people get to see.

`--json` shows the rows as they are: their keys are described at the top of `database/queries/inspect_<section>.sql`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import column, func, literal, select, table, text
from sqlalchemy.exc import DBAPIError

from app.db import chain, findings
from app.db.figures import Age, Estimate, Share, Size
from app.db.queries import query

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Connection

    from app.db.findings import Limits, Remark

Row = dict[str, Any]

HIDDEN = "<hidden>"
_COUNTED_BYTES = 64 << 20  # a small table of many dead rows is slow to count
_COUNT_SECONDS = 3.0
_SHOWN_STATEMENT = 80


@dataclass(frozen=True)
class Section:
    """One part of the report. `subject` names a row in findings, `columns` makes a row's cells.

    `grant` gives a role the sight of rows that come with `hidden` set.
    """

    name: str
    title: str
    subject: Callable[[Row], str]
    judge: Callable[[Row, Limits], Remark | None]
    columns: Mapping[str, Callable[[Row], object]]
    empty: str = "none"
    grant: str = "GRANT pg_read_all_stats TO {role}"
    ask: Callable[[Connection, Section, Limits], list[Row]] | None = None

    def rows(self, connection: Connection, limits: Limits) -> list[Row]:
        """What the server answers. Raises the driver's errors."""
        return self.ask(connection, self, limits) if self.ask else _query_rows(connection, self, limits)


def _query_rows(connection: Connection, section: Section, _limits: Limits) -> list[Row]:
    statement = query(f"inspect_{section.name.replace('-', '_')}")
    answer = connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
    return [dict(row) for row in answer.mappings()]


# Revision ------------------------------------------------------------------------------------------------------------


def _revision_rows(connection: Connection, _section: Section, _limits: Limits) -> list[Row]:
    """One row: revision, state (head, behind, newer, unknown, several, none), head, pending (ids), oldest_release."""
    stated = chain.stated_versions(connection) or []
    found = chain.known(stated[0]) if len(stated) == 1 else None
    release = chain.oldest_release(connection)
    pending = [revision.id for revision in chain.after(found)] if found else []
    return [
        {
            "revision": " and ".join(stated) or None,
            "state": _revision_state(stated, known=found is not None, pending=pending, release=release),
            "head": chain.head().id,
            "pending": pending,
            "oldest_release": release,
        }
    ]


def _revision_state(stated: Sequence[str], *, known: bool, pending: Sequence[str], release: str | None) -> str:
    if len(stated) != 1:
        return "several" if stated else "none"
    if not known:
        return "unknown" if release is None else "newer"
    return "behind" if pending else "head"


# Tables --------------------------------------------------------------------------------------------------------------


def _table_rows(connection: Connection, section: Section, limits: Limits) -> list[Row]:
    """The query's rows, and `rows` with `rows_are`: exact, estimate or unknown."""
    rows = _query_rows(connection, section, limits)
    connection.execute(text("SELECT set_config('statement_timeout', '1000', true)"))
    deadline = time.monotonic() + _COUNT_SECONDS
    for row in rows:
        exact = _count(connection, row, limits) if time.monotonic() < deadline else None
        guess = row["estimated_rows"] if row["estimated_rows"] is not None else row["live_rows"]
        row["rows"] = guess if exact is None else exact
        row["rows_are"] = "exact" if exact is not None else "unknown" if guess is None else "estimate"
    return rows


def _count(connection: Connection, row: Row, limits: Limits) -> int | None:
    """The table's rows, counted; None where there are too many, or it can't be done now.

    The savepoint's end gives the table's lock back, so that no migration waits for the rest of our counting.
    """
    if not row["countable"] or (row["estimated_rows"] or 0) > limits.exact_rows:
        return None
    if row["total_bytes"] - row["indexes_bytes"] - row["toast_bytes"] > _COUNTED_BYTES:
        return None
    first = select(literal(1)).select_from(table(row["table"], column("x"), schema=row["schema"]))
    statement = select(func.count()).select_from(first.limit(limits.exact_rows + 1).subquery())
    savepoint = connection.begin_nested()
    try:
        counted = connection.execute(statement).scalar_one()
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        counted = None
    finally:
        if savepoint.is_active:
            savepoint.rollback()
    return counted if counted is not None and counted <= limits.exact_rows else None


# Locks ---------------------------------------------------------------------------------------------------------------


def _lock_rows(connection: Connection, section: Section, limits: Limits) -> list[Row]:
    """The query's rows as a tree, each blocker before those who wait for it, with `depth`."""
    return blocking_tree(_query_rows(connection, section, limits))


def blocking_tree(rows: Sequence[Row]) -> list[Row]:
    """Orders sessions (`pid`, `blocked_by`) so that each stands below the first that it waits for; adds `depth`.

    A session of a circle (a deadlock that the server hasn't found yet) stands at depth 0.
    """
    ordered: dict[int, Row] = {}

    def place(row: Row, depth: int) -> None:
        if row["pid"] in ordered:
            return
        ordered[row["pid"]] = {**row, "depth": depth}
        for waiting in rows:
            if row["pid"] in waiting["blocked_by"]:
                place(waiting, depth + 1)

    for row in sorted(rows, key=lambda row: bool(row["blocked_by"])):
        place(row, 0)
    return list(ordered.values())


# Cells ---------------------------------------------------------------------------------------------------------------


def _key(key: str) -> Callable[[Row], object]:
    return lambda row: row[key]


def _name(key: str) -> Callable[[Row], str]:
    return lambda row: str(row[key])


def _as(kind: Callable[[Any], object], key: str) -> Callable[[Row], object]:
    return lambda row: None if row[key] is None else kind(row[key])


def _in_schema(key: str) -> Callable[[Row], str]:
    """The object's name, with its schema unless that is public."""
    return lambda row: str(row[key]) if row["schema"] == "public" else f"{row['schema']}.{row[key]}"


def _seen(key: str) -> Callable[[Row], object]:
    """A value that the role may be kept from seeing."""
    return lambda row: HIDDEN if row["hidden"] else row[key]


def _statement(row: Row) -> str:
    if row["hidden"]:
        return HIDDEN
    words: str = " ".join(str(row["query"] or "").split())
    return words if len(words) <= _SHOWN_STATEMENT else words[: _SHOWN_STATEMENT - 3] + "..."


def _row_count(row: Row) -> object:
    return row["rows"] if row["rows_are"] in ("exact", "unknown") else Estimate(row["rows"])


def _served(row: Row) -> str:
    if not row["valid"]:
        return "nobody: INVALID"
    return "a key" if row["enforces"] else "a foreign key" if row["for_foreign_key"] else "queries"


def _owner(row: Row) -> str:
    """Role and application; what a background process is."""
    return f"{row['role'] or row.get('kind') or ''} {row['application'] or ''}".strip()


def _state(row: Row) -> object:
    waits = row["waits_for"] if row["state"] == "active" else None
    return HIDDEN if row["hidden"] else f"waits for {waits}" if waits else row["state"]


def _session(row: Row) -> str:
    """The pid, below those that it waits for."""
    depth: int = row["depth"]
    return "> " * depth + (str(row["pid"]) if row["pid"] else "prepared")


SECTIONS = (
    Section(
        "revision",
        "Revision",
        subject=lambda row: row["revision"] or "alembic_version",
        judge=findings.revision,
        columns={"revision": _key("revision"), "is": _key("state"), "head": _key("head")},
        ask=_revision_rows,
    ),
    Section(
        "server",
        "Server",
        subject=_name("database"),
        judge=findings.server,
        columns={
            "database": _key("database"),
            "version": _key("version"),
            "size": _as(Size, "database_bytes"),
            "up": _as(Age, "uptime_seconds"),
            "figures since": _as(Age, "stats_reset_seconds"),
            "role": _key("role"),
        },
    ),
    Section(
        "tables",
        "Tables",
        subject=_in_schema("table"),
        judge=findings.table,
        columns={
            "table": _in_schema("table"),
            "rows": _row_count,
            "dead": _key("dead_rows"),
            "total": _as(Size, "total_bytes"),
            "indexes": _as(Size, "indexes_bytes"),
            "toast": _as(Size, "toast_bytes"),
            "vacuum": _as(Age, "vacuum_seconds"),
            "analyze": _as(Age, "analyze_seconds"),
        },
        ask=_table_rows,
    ),
    Section(
        "indexes",
        "Indexes",
        subject=_in_schema("index"),
        judge=findings.index,
        columns={
            "index": _in_schema("index"),
            "size": _as(Size, "bytes"),
            "scans": _key("scans"),
            "serves": _served,
        },
    ),
    Section(
        "foreign-keys",
        "Foreign keys without an index",
        subject=_in_schema("foreign_key"),
        judge=findings.foreign_key,
        columns={
            "foreign key": _in_schema("foreign_key"),
            "columns": lambda row: ", ".join(row["columns"]),
            "refers to": _key("refers_to"),
            "rows": _as(Estimate, "estimated_rows"),
        },
    ),
    Section(
        "sequences",
        "Sequences",
        subject=_in_schema("sequence"),
        judge=findings.sequence,
        columns={
            "sequence": _in_schema("sequence"),
            "last": _seen("last_value"),
            "end": _key("end_value"),
            "used": lambda row: HIDDEN if row["hidden"] else Share(row["used"] or 0),
        },
        grant="GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO {role}",
    ),
    Section(
        "connections",
        "Connections to the server",
        subject=lambda row: "total" if row["total"] else f"{row['role']} {row['application']}",
        judge=findings.connections,
        columns={
            "database": lambda row: "total" if row["total"] else row["database"],
            "role": _key("role"),
            "application": _key("application"),
            "state": lambda row: HIDDEN if row["hidden"] and not row["total"] else row["state"],
            "number": _key("connections"),
            "oldest": _as(Age, "oldest_seconds"),
        },
    ),
    Section(
        "transactions",
        "Open transactions",
        subject=lambda row: f"{row['pid']} {_owner(row)}".rstrip(),
        judge=findings.transaction,
        columns={
            "session": lambda row: str(row["pid"]),
            "of": _owner,
            "open for": _as(Age, "transaction_seconds"),
            "state": _state,
            "statement": _statement,
        },
    ),
    Section(
        "locks",
        "Locks waited for",
        subject=lambda row: f"{row['pid']} {_owner(row)}".rstrip(),
        judge=findings.lock,
        columns={
            "session": _session,
            "of": _owner,
            "waits": _as(Age, "wait_seconds"),
            "wants": _key("wants"),
            "statement": _statement,
        },
        empty="nobody waits",
        ask=_lock_rows,
    ),
    Section(
        "cache",
        "Pages found in memory",
        subject=_name("pages_of"),
        judge=findings.cache,
        columns={
            "pages of": _key("pages_of"),
            "hits": _key("hits"),
            "reads": _key("reads"),
            "share": _as(Share, "hit_share"),
        },
    ),
    Section(
        "prepared",
        "Prepared transactions",
        subject=_name("name"),
        judge=findings.prepared,
        columns={
            "name": _key("name"),
            "database": _key("database"),
            "role": _key("role"),
            "age": _as(Age, "age_seconds"),
        },
    ),
    Section(
        "slots",
        "Replication slots",
        subject=_name("slot"),
        judge=findings.slot,
        columns={
            "slot": _key("slot"),
            "kind": _key("kind"),
            "read": lambda row: "now" if row["active"] else "by nobody",
            "keeps": _as(Size, "kept_bytes"),
            "wal": _key("wal_status"),
        },
    ),
    Section(
        "wraparound",
        "Transaction ids",
        subject=_name("database"),
        judge=findings.wraparound,
        columns={
            "database": _key("database"),
            "xid age": _key("xid_age"),
            "multixact age": _key("multixact_age"),
            "frozen from": _key("xid_freeze_at"),
            "to wraparound": lambda row: Share(max(row["xid_age"], row["multixact_age"]) / findings.WRAPAROUND),
        },
    ),
)
NAMES = tuple(section.name for section in SECTIONS)
