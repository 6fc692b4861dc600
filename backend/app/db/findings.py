"""What deserves attention in the state of a database: the limits, and a judge for each kind of row.

Nothing here asks the server. A judge gets a row as its query in `database/queries/inspect_<section>.sql` describes it,
and answers a `Remark`, or None when all is well.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from app.db.figures import Age, Share, Size

if TYPE_CHECKING:
    from collections.abc import Mapping

    Row = Mapping[str, Any]
    Steps = tuple[float, float]

WRAPAROUND = 2**31
"""Transaction ids apart at which the server must have stopped. Source: PostgreSQL, "Routine Vacuuming"."""


class Level(IntEnum):
    """How much a finding matters: nothing to do, good to know, act."""

    OK = 0
    NOTICE = 1
    WARNING = 2

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True)
class Remark:
    """A judge's answer."""

    level: Level
    reason: str


@dataclass(frozen=True)
class Limits:
    """From where on something is remarked; pairs are (notice, warning). Seconds, bytes, rows, and shares of 1."""

    statement_seconds: float = 5.0
    """Longest that any query of ours may run; a shorter statement_timeout of the role counts."""
    lock_seconds: float = 1.0
    """Longest that any query of ours may wait for a lock."""
    exact_rows: int = 10_000
    """Tables up to this size are counted."""
    dead_rows: int = 1_000
    """Fewer dead rows than these aren't remarked, whatever their share."""
    dead_share: Steps = (0.2, 0.5)
    unanalyzed_rows: int = 1_000
    unused_index_bytes: int = 1 << 20
    foreign_key_rows: int = 10_000
    """From this size of the table on, a foreign key without an index is a warning."""
    sequence_share: Steps = (0.5, 0.75)
    connection_share: Steps = (0.7, 0.9)
    idle_seconds: Steps = (10, 60)
    transaction_seconds: Steps = (60, 300)
    wait_seconds: float = 10
    """A longer wait for a lock is a warning."""
    cache_pages: int = 10_000
    """With fewer pages asked for, the share of hits says nothing."""
    cache_miss_share: Steps = (0.05, 0.2)
    prepared_seconds: Steps = (0, 300)
    slot_bytes: Steps = (64 << 20, 1 << 30)
    wraparound_share: Steps = (0.25, 0.5)


def grade(value: float | None, steps: Steps) -> Level:
    """The level that a value reaches; unknown values reach none."""
    if value is None:
        return Level.OK
    return Level(sum(value >= step for step in steps))


def _remark(level: Level, reason: str) -> Remark | None:
    return Remark(level, reason) if level else None


def revision(row: Row, _limits: Limits) -> Remark | None:
    """A database that isn't at this release's newest revision."""
    remarks = {
        "none": Remark(
            Level.NOTICE, "the database records no revision; if its tables are ours: ./opentr.sh db adopt --plan"
        ),
        "several": Remark(Level.WARNING, f"{row['revision']} at once; type ./opentr.sh db adopt --plan"),
        "unknown": Remark(Level.WARNING, "this release has no such revision; type ./opentr.sh db adopt --plan"),
        "newer": Remark(Level.WARNING, f"made by a newer release; it asks for {row['oldest_release']} or newer"),
        "behind": Remark(Level.NOTICE, f"behind head by {len(row['pending'])}: {', '.join(row['pending'])}"),
    }
    return remarks.get(row["state"])


def server(row: Row, _limits: Limits) -> Remark | None:
    """Servers that don't notice damaged pages, or don't take writes."""
    if row["in_recovery"]:
        return Remark(Level.NOTICE, "in recovery: a standby, or a restore that hasn't ended; it takes no writes")
    if not row["checksums"]:
        return Remark(Level.NOTICE, "made without data checksums: damaged pages go unnoticed")
    return None


def table(row: Row, limits: Limits) -> Remark | None:
    """Many dead rows, no statistics, or a lock that keeps us from looking."""
    dead, live = row["dead_rows"] or 0, row["live_rows"] or 0
    if dead >= max(limits.dead_rows, 1):
        share = dead / (dead + live)
        if level := grade(share, limits.dead_share):
            return Remark(
                level,
                f"{Share(share)} of its rows are dead ({dead:,}); VACUUM ANALYZE it, and look for long transactions",
            )
    if row["analyze_seconds"] is None and live >= limits.unanalyzed_rows:
        return Remark(Level.NOTICE, "never analyzed, so that the planner guesses; type ANALYZE")
    if row["total_bytes"] is None:
        return Remark(Level.NOTICE, "held exclusively by a session now; size and rows weren't asked for")
    return None


def index(row: Row, limits: Limits) -> Remark | None:
    """INVALID indexes, and big ones that nobody reads."""
    if not row["valid"] and row["building"]:
        return Remark(Level.NOTICE, "is being built")
    if not row["valid"]:
        return Remark(
            Level.WARNING,
            "INVALID: a build that failed, or goes on unseen; DROP INDEX CONCURRENTLY, then build it again",
        )
    idle = row["scans"] == 0 and not row["enforces"] and not row["for_foreign_key"]
    if idle and (row["bytes"] or 0) >= limits.unused_index_bytes:
        since = row["stats_reset_seconds"]
        period = "since the database was made" if since is None else f"in the last {Age(since)}"
        return Remark(Level.NOTICE, f"never used {period}; {Size(row['bytes'])}")
    return None


def foreign_key(row: Row, limits: Limits) -> Remark | None:
    """Every one, since only those without an index are asked for."""
    large = (row["estimated_rows"] or 0) >= limits.foreign_key_rows
    columns = ", ".join(row["columns"])
    return Remark(
        Level.WARNING if large else Level.NOTICE,
        f"no index starts with ({columns}): deleting in {row['refers_to']} reads it all",
    )


def sequence(row: Row, limits: Limits) -> Remark | None:
    """Numbers that run out."""
    level = Level.OK if row["cycles"] else grade(row["used"], limits.sequence_share)
    feeds = f" of {row['feeds']}" if row["feeds"] else ""
    return _remark(level, f"{Share(row['used'] or 0)} of the numbers{feeds} are used; the last is {row['end_value']:,}")


def connections(row: Row, limits: Limits) -> Remark | None:
    """All of them together against what the server allows."""
    if not row["total"]:
        return None
    share = row["connections"] / max(row["usable"], 1)
    return _remark(
        grade(share, limits.connection_share), f"{row['connections']} of {row['usable']} connections are taken"
    )


def transaction(row: Row, limits: Limits) -> Remark | None:
    """Long ones, and those whose client has gone quiet: both keep VACUUM from its work and may hold locks."""
    if row["hidden"] or row["kind"] != "client backend":
        return None
    age = f"in a transaction for {Age(row['transaction_seconds'])}"
    long = grade(row["transaction_seconds"], limits.transaction_seconds)
    if row["state"].startswith("idle in transaction"):
        level = max(grade(row["state_seconds"], limits.idle_seconds), long)
        return _remark(
            level, f"{age}, idle for {Age(row['state_seconds'])}; SELECT pg_terminate_backend({row['pid']}) ends it"
        )
    return _remark(long, f"{age}; SELECT pg_cancel_backend({row['pid']}) stops its statement")


def lock(row: Row, limits: Limits) -> Remark | None:
    """Sessions that wait, and those that make others wait."""
    if row["blocked_by"]:
        waits = row["wait_seconds"] or 0.0
        level = Level.WARNING if waits >= limits.wait_seconds else Level.NOTICE
        return Remark(level, f"waits {Age(waits)} for {', '.join(map(str, row['blocked_by']))}: {row['wants']}")
    if row["pid"] == 0:
        return Remark(Level.WARNING, "a prepared transaction makes others wait; see the section prepared")
    if (row["state"] or "").startswith("idle in transaction"):
        return Remark(Level.WARNING, f"makes others wait while idle; SELECT pg_terminate_backend({row['pid']}) ends it")
    return Remark(Level.NOTICE, "makes others wait")


def cache(row: Row, limits: Limits) -> Remark | None:
    """Memory that is too small for what is read."""
    if row["hit_share"] is None or row["hits"] + row["reads"] < limits.cache_pages:
        return None
    return _remark(
        grade(1 - row["hit_share"], limits.cache_miss_share),
        f"only {Share(row['hit_share'])} of the pages come from memory",
    )


def prepared(row: Row, limits: Limits) -> Remark | None:
    """Any: nobody should leave one behind."""
    level = grade(row["age_seconds"], limits.prepared_seconds)
    return _remark(
        level, f"prepared {Age(row['age_seconds'])} ago; in {row['database']}: COMMIT PREPARED or ROLLBACK PREPARED"
    )


def slot(row: Row, limits: Limits) -> Remark | None:
    """Slots that lost their WAL, keep much of it, or that nobody reads."""
    if row["wal_status"] in ("unreserved", "lost"):
        return Remark(Level.WARNING, f"its WAL is {row['wal_status']}: its reader must be made anew, then drop it")
    level = grade(row["kept_bytes"], limits.slot_bytes)
    kept = f"keeps {Size(row['kept_bytes'] or 0)} of WAL"
    if row["active"]:
        return _remark(level, kept)
    return Remark(
        max(level, Level.NOTICE),
        f"nobody reads from it, and it {kept}; SELECT pg_drop_replication_slot(...) if it is left over",
    )


def wraparound(row: Row, limits: Limits) -> Remark | None:
    """Databases that autovacuum doesn't get to freeze in time."""
    oldest = max(row["xid_age"], row["multixact_age"])
    return _remark(
        grade(oldest / WRAPAROUND, limits.wraparound_share),
        f"{Share(oldest / WRAPAROUND)} of the way to wraparound; look for what keeps VACUUM back, then VACUUM (FREEZE)",
    )
