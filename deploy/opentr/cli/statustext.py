"""What `status` says, as lines of at most 80 columns where names are short."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from opentr.actions.backupstate import PROVEN_DAYS
from opentr.cli.terminal import columns

if TYPE_CHECKING:
    from opentr.actions.backupstate import BackupState
    from opentr.actions.status import Database, Pool, Status
    from opentr.runtimes.base import ServiceState

_TITLES = ("service", "state", "for", "restarts", "address", "version")
_WIDTH = 9
_STEPS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_UNITS = ("B", "kB", "MB", "GB", "TB")
_NEARLY_FULL = 0.1


def lines(status: Status) -> list[str]:
    """The services as a table, then what else there is to know, then what is to be done."""
    if not status.running:
        return [f"nothing is running; type ./opentr.sh start {status.environment}"]
    table = columns([_row(each, status) for each in status.services], titles=_TITLES)
    facts = {
        "release": status.release_id or status.release,
        "database": status.database and _database(status.database),
        "pool": _pool(status.pool) if status.pool else _no_pool(status),
        "backups": status.backups and _backups(status.backups),
        "disk": status.database and _disk(status.database),
        "at work": status.holder,
    }
    told = [f"{title:{_WIDTH}} {text}" for title, text in facts.items() if text]
    notes = _notes(status)
    return [*table, "", *told, *([""] if notes else []), *notes]


def now() -> datetime:
    """The moment from which ages are counted."""
    return datetime.now(UTC)


def age(since: datetime) -> str:
    """How long ago that was, in its largest unit: 3 min."""
    seconds = max(0, int((now() - since).total_seconds()))
    size, unit = next((step for step in _STEPS if seconds >= step[0]), _STEPS[-1])
    return f"{seconds // size} {unit}"


def amount(size_bytes: float) -> str:
    """A size with three digits at most: 9.8 MB, 412 GB."""
    unit = 0
    while size_bytes >= 999.5 and unit < len(_UNITS) - 1:  # noqa: PLR2004 - what rounds to 999
        size_bytes /= 1000
        unit += 1
    return f"{size_bytes:.1f} {_UNITS[unit]}" if unit and size_bytes < 9.95 else f"{size_bytes:.0f} {_UNITS[unit]}"  # noqa: PLR2004


def _row(service: ServiceState, status: Status) -> dict[str, str]:
    version = service.version or ""
    return {
        "service": service.service,
        "state": _state(service),
        "for": age(service.since) if service.since and service.state == "running" else "",
        "restarts": str(service.restarts) if service.restarts else "",
        "address": " ".join(service.addresses),
        "version": f"{version} (outdated)" if service.service in status.outdated else version,
    }


def _state(service: ServiceState) -> str:
    if service.state == "running":
        return service.health or "running"
    if service.state == "exited" and service.exit_code:
        return f"exited ({service.exit_code})"
    return {"exited": "stopped", "created": "never started", "missing": "-"}.get(service.state, service.state)


def _database(found: Database) -> str:
    if found.fault:
        return f"doesn't answer: {found.fault}"
    if not found.tables:
        return "empty"
    if not found.revision:
        revision = "at no revision (init_db.sql is ahead of the migrations)"
    elif found.revision == found.head:
        revision = f"revision {found.revision}, the newest"
    else:
        revision = f"revision {found.revision}, this checkout has {found.head}"
    made = f", made {age(datetime.fromisoformat(found.made_at))} ago" if found.made_at else ""
    return f"{revision}; {amount(found.size_bytes)}{made}"


def _pool(found: Pool) -> str:
    if found.fault:
        return f"doesn't answer: {found.fault}"
    waiting = f"{found.waiting} waiting"
    if found.waiting:
        waiting += f" for {found.waiting_seconds:.1f} s"
    return f"{found.clients} clients, {waiting}; {found.servers} of {found.size} connections at work"


def _no_pool(status: Status) -> str | None:
    """Nothing where there should be one: that is among what isn't running."""
    return f"none: the app connects directly ({status.without_pool})" if status.without_pool else None


def _backups(found: BackupState) -> str:
    if found.fault:
        return f"unknown: {found.fault}"
    if not found.newest_at:
        return "none yet"
    proven = f"the newest proven one of {age(found.proven_at)} ago" if found.proven_at else "none proven"
    return f"the newest of {age(found.newest_at)} ago; {proven}"


def _disk(found: Database) -> str:
    return f"{amount(found.free_bytes)} of {amount(found.disk_bytes)} free" if found.disk_bytes else ""


def _notes(status: Status) -> list[str]:
    """What somebody should do something about."""
    name, notes = status.environment, []
    if status.pool and status.pool.paused and not status.holder:
        notes.append(f"the pool is paused, and its clients wait: ./opentr.sh restart {name} pgbouncer lets them go on")
    if status.cut_short and not status.holder:
        notes.append(f"{status.cut_short}: ./opentr.sh start {name} finishes it, or takes it back")
    if status.interrupted and not status.holder:
        notes.append(f"a reset was cut short: ./opentr.sh start {name} finishes it, or takes it back")
    if status.database and status.database.free_bytes < _NEARLY_FULL * status.database.disk_bytes:
        notes.append("the disk is nearly full, and Postgres stops when it is")
    notes += _backup_notes(status.backups) if status.backups and not status.backups.fault else []
    if absent := [each.service for each in status.ill if each.state != "running"]:
        notes.append(f"not running: {', '.join(absent)}; type ./opentr.sh start {name}")
    if sick := [each.service for each in status.ill if each.state == "running"]:
        notes.append(f"not healthy: {', '.join(sick)}; read the log: ./opentr.sh logs {name} {sick[0]}")
    if status.outdated and name == "dev":
        notes.append(
            f"{', '.join(status.outdated)}: the image differs from the code: ./opentr.sh build; ./opentr.sh start"
        )
    return notes


def _backup_notes(found: BackupState) -> list[str]:
    """What stands in the way of getting lost data back."""
    notes, days = [], timedelta(days=PROVEN_DAYS)
    if found.archiving_fails_since:
        waiting = f"{found.waiting_wal} segment{'s' if found.waiting_wal != 1 else ''} of WAL wait"
        notes.append(
            f"archiving has failed for {age(found.archiving_fails_since)}, {waiting}: ./opentr.sh logs prod postgres"
        )
    if found.failed:
        why = f"backup {found.failed} can't be relied on: {found.failed_object}"
        notes.append(f"{why}; take a new one: ./opentr.sh backup prod --type full")
    if (
        found.newest_at
        and found.expected_seconds
        and now() - found.newest_at > timedelta(seconds=2 * found.expected_seconds)
    ):
        notes.append(f"the newest backup is {age(found.newest_at)} old; why, tells ./opentr.sh logs prod backup")
    if not found.newest_at:
        notes.append("there is no backup yet: ./opentr.sh backup prod takes one")
    elif not found.proven_at:
        notes.append("no backup is proven yet: ./opentr.sh backup verify restores the newest beside, and compares")
    elif now() - found.proven_at > days:
        notes.append(
            f"the newest proven backup is {age(found.proven_at)} old: ./opentr.sh backup verify proves the newest"
        )
    return notes
