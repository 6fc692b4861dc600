"""What is true of an environment now.

Everything is asked at the same time. Half of a stack, or a server that hangs, is told, not waited for.
"""

from __future__ import annotations

import csv
import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opentr.actions import backupstate, build, database, history, releases, start
from opentr.actions.backupstate import BackupState
from opentr.actions.environment import prepared_images
from opentr.errors import OpentrError, ProcessFailed, ProcessTimedOut
from opentr.errors.services import ServiceNotRunning
from opentr.runtimes.images import image_of
from opentr.server import generations, pool, psql
from opentr.settings import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from opentr.actions.environment import Environment
    from opentr.runtimes.base import ServiceState

ANSWER_SECONDS = 3.0
"""How long a service may take to answer before it is told that it doesn't."""

_VERSIONS = CHECKOUT / "backend" / "alembic" / "versions"
_DATABASE = r"""
\set revision ''
SELECT to_regclass('public.alembic_version') IS NOT NULL AS stamped \gset
\if :stamped
SELECT version_num AS revision FROM public.alembic_version \gset
\endif
\set room `df --output=avail,size --block-size=1 "$PGDATA" | tail -n 1`
SELECT :'revision' AS revision, :'room' AS room, pg_database_size(current_database()) AS size,
    (SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r') AS tables,
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS sessions,
    current_setting('max_connections') AS max_sessions;
"""


@dataclass(frozen=True)
class Database:
    """The database, or why nothing is known of it."""

    fault: str | None = None
    revision: str | None = None
    head: str | None = None
    """the newest revision of this checkout"""
    size_bytes: int = 0
    tables: int = 0
    sessions: int = 0
    max_sessions: int = 0
    free_bytes: int = 0
    disk_bytes: int = 0
    made_at: str | None = None


@dataclass(frozen=True)
class Pool:
    """The pool of the app's connections, or why nothing is known of it."""

    fault: str | None = None
    paused: bool = False
    clients: int = 0
    waiting: int = 0
    waiting_seconds: float = 0.0
    """how long the first of the waiting ones has waited"""
    servers: int = 0
    """connections to Postgres that are in use"""
    size: int = 0


@dataclass(frozen=True)
class Status:
    """An environment as it is now."""

    environment: str
    project: str
    release: str | None
    """in prod, the version that the last deploy recorded"""
    release_id: str | None
    """which release of that version"""
    services: Sequence[ServiceState]
    meant: Sequence[str]
    """the services that were started"""
    outdated: Sequence[str]
    """the services that run another image than they should"""
    database: Database | None
    """None: Postgres doesn't run"""
    pool: Pool | None
    """None: there is none, or it doesn't run"""
    backups: BackupState | None
    """None: dev, or the service that makes them doesn't run"""
    holder: str | None
    """who works on the environment now"""
    interrupted: bool
    """a swap of generations was cut short; the next command that changes something finishes it"""
    cut_short: str | None = None
    """the deploy or restore that goes on now or was cut short, in words"""
    without_pool: str | None = None
    """what it runs as, in words, where no pool belongs to it; None: one does"""

    @property
    def running(self) -> bool:
        """Whether anything runs."""
        return any(each.state in ("running", "restarting", "paused") for each in self.services)

    @property
    def ill(self) -> list[ServiceState]:
        """The services that should do their work and don't."""
        return [each for each in self.services if each.service in self.meant and not each.healthy]

    @property
    def healthy(self) -> bool:
        """Whether something was started, and all of it does its work."""
        return bool(self.meant) and not self.ill


def look(environment: Environment) -> Status:
    """Ask everything that there is to be asked."""
    with ThreadPoolExecutor(5) as threads:
        services = threads.submit(environment.runtime.services)
        known = threads.submit(_answer, lambda: _database(environment), lambda fault: Database(fault=fault))
        pooled = threads.submit(_answer, lambda: _pool(environment), lambda fault: Pool(fault=fault))
        saved = threads.submit(_answer, lambda: _backups(environment), lambda fault: BackupState(fault=fault))
        images = threads.submit(_images, environment)
    state = environment.state
    there = services.result()
    release = state.read(releases.RECORD) or {}
    holder = state.holder()
    return Status(
        environment=environment.name,
        project=environment.settings.project,
        release=release.get("version"),
        release_id=release.get("current"),
        services=there,
        meant=start.meant_to_run(environment) or [each.service for each in there if each.state != "missing"],
        outdated=_outdated(there, images.result()),
        database=known.result(),
        pool=pooled.result(),
        backups=saved.result(),
        holder=str(holder) if holder else None,
        interrupted=state.read(generations.RECORD) is not None,
        cut_short=history.unfinished(state),
        without_pool=None if pool.is_there(environment.runtime) else environment.words.title,
    )


def head() -> str | None:
    """The newest revision of this checkout's migrations: their files' names begin with their numbers."""
    return max((file.name.partition("_")[0] for file in _VERSIONS.glob("[0-9]*.py")), default=None)


def _answer(ask: Callable[[], Any], failed: Callable[[str], Any]) -> Any:  # noqa: ANN401 - either of two kinds
    """What a service answers; None if it doesn't run, and why it doesn't answer if it does."""
    try:
        return ask()
    except ServiceNotRunning:
        return None
    except ProcessTimedOut:
        return failed(f"no answer within {ANSWER_SECONDS:g} s")
    except ProcessFailed as failure:
        return failed((failure.stderr.strip().splitlines() or [failure.what])[-1])
    except OpentrError as failure:
        return failed(failure.what)


def _database(environment: Environment) -> Database:
    said = environment.runtime.run_in(
        "postgres", psql.argv(psql.DATABASE, "--csv", "-f", "-"), stdin=_DATABASE, deadline=ANSWER_SECONDS
    )
    row = next(csv.DictReader(io.StringIO(said)))
    free, whole = (int(part) for part in row["room"].split())
    made = environment.state.read(database.RECORD) or {}
    return Database(
        revision=row["revision"] or None,
        head=head(),
        size_bytes=int(row["size"]),
        tables=int(row["tables"]),
        sessions=int(row["sessions"]),
        max_sessions=int(row["max_sessions"]),
        free_bytes=free,
        disk_bytes=whole,
        made_at=made.get("made_at"),
    )


def _pool(environment: Environment) -> Pool | None:
    if not pool.is_there(environment.runtime):
        return None
    words = [*pool.CONSOLE, "-c", "SHOW POOLS", "-c", "SHOW DATABASES"]
    said = environment.runtime.run_in(pool.SERVICE, words, deadline=ANSWER_SECONDS)
    pools, _, databases = said.partition("\nname,")
    rows = [row for row in csv.DictReader(io.StringIO(pools)) if row["database"] == psql.DATABASE]
    found = [row for row in csv.DictReader(io.StringIO(f"name,{databases}")) if row["name"] == psql.DATABASE]
    return Pool(
        paused=any(row["paused"] == "1" for row in found),
        clients=_sum(rows, "cl_active") + _sum(rows, "cl_waiting"),
        waiting=_sum(rows, "cl_waiting"),
        waiting_seconds=max((int(row["maxwait"]) + int(row["maxwait_us"]) / 1e6 for row in rows), default=0.0),
        servers=_sum(rows, "sv_active"),
        size=max((int(row["pool_size"]) for row in found), default=0),
    )


def _backups(environment: Environment) -> BackupState | None:
    return backupstate.look(environment, ANSWER_SECONDS) if environment.name == "prod" else None


def _sum(rows: Sequence[Mapping[str, str]], column: str) -> int:
    return sum(int(row[column]) for row in rows)


def _images(environment: Environment) -> Mapping[str, str]:
    """The images that the services should run: the release's, in dev those of the checkout's code."""
    return build.current(environment) if environment.name == "dev" else prepared_images(environment)


def _outdated(services: Sequence[ServiceState], images: Mapping[str, str]) -> list[str]:
    return [each.service for each in services if each.image and each.image != images.get(image_of(each.service))]
