"""The arithmetic of Postgres, its pool and Redis: what follows from memory, processors and numbers of processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentr.errors.settings import SettingInvalid

if TYPE_CHECKING:
    from opentr.settings import Settings
    from opentr.settings.postgres import Postgres

MB = 1024**2
SUPERUSERS = 3
"""Connections that Postgres keeps for superusers (superuser_reserved_connections)."""
DIRECT = 10
"""Connections that go past the pool: a migration takes 4, a backup and its proof 3, people and `status` the rest."""
SIDE_POOLS = {"app_ro": 5, "app_monitor": 2, "pgb_auth": 2}
"""Connections of the pool's other users."""
RESERVE = 5
"""Connections that a pool takes in addition when a client has waited for RESERVE_SECONDS."""
RESERVE_SECONDS = 5
LEAST_POOL = 20
"""PgBouncer's own default_pool_size."""
PER_PROCESS = 15
"""Connections of one process of the app to the pool: DB_POOL_SIZE 5 + DB_MAX_OVERFLOW 10 behind a pooler."""
LEAST_CLIENTS = 2000
OTHER_CLIENTS = 100


@dataclass(frozen=True)
class Memory:
    """How Postgres uses its memory, in bytes."""

    shared_buffers: int
    effective_cache_size: int
    maintenance_work_mem: int
    work_mem: int


@dataclass(frozen=True)
class Pool:
    """The sizes of PgBouncer's pools, in connections."""

    max_connections: int
    cores: int
    api_processes: int
    worker_processes: int
    max_db_connections: int
    room: int
    """what app_rw's pool may take at most"""
    pool_size: int
    max_clients: int
    pool_size_is_set: bool
    max_clients_is_set: bool


def memory(postgres: Postgres) -> Memory:
    """The memory of Postgres; the template postgresql.conf.j2 names each formula's source."""
    buffers = postgres.memory // 4
    work = (postgres.memory - buffers) // (postgres.max_connections * 3)
    return Memory(
        shared_buffers=_whole(buffers, MB),
        effective_cache_size=_whole(postgres.memory * 3 // 4, MB),
        maintenance_work_mem=_whole(min(postgres.memory // 16, 2048 * MB), MB),
        work_mem=max(4 * MB, _whole(work, 64 * 1024)),
    )


def redis_memory(settings: Settings) -> int:
    """Bytes of data that Redis takes at most, of its limit.

    The rest is for the copies of pages that are written to while a child writes the append-only file anew, for buffers
    and for fragmentation (redis.io: Redis administration, Memory management).
    """
    return _whole(settings.redis.memory * 6 // 10, MB)


def cores(settings: Settings) -> int:
    """Whole processors that Postgres may use, at least one."""
    return max(1, int(settings.postgres.cpus))


def worker_threads(settings: Settings) -> int:
    """Threads of each worker process; from within a container its limit of processors can't be seen."""
    return max(1, int(settings.worker.cpus) // settings.worker.processes)


def pool(settings: Settings) -> Pool:
    """The pools' sizes, explained by `explain`. Raises SettingInvalid if the size that is set doesn't fit."""
    postgres, pgbouncer = settings.postgres, settings.pgbouncer
    processes = settings.api.processes + settings.worker.processes
    for_pool = postgres.max_connections - SUPERUSERS - DIRECT
    room = for_pool - sum(SIDE_POOLS.values()) - RESERVE
    if pgbouncer.pool_size and pgbouncer.pool_size > room:
        reason = f"{pgbouncer.pool_size} is more than the {room} that OPENTR_POSTGRES_MAX_CONNECTIONS leaves for it"
        raise SettingInvalid("OPENTR_PGBOUNCER_POOL_SIZE", reason)
    useful = 2 * cores(settings) + 1 + processes
    return Pool(
        max_connections=postgres.max_connections,
        cores=cores(settings),
        api_processes=settings.api.processes,
        worker_processes=settings.worker.processes,
        max_db_connections=for_pool,
        room=room,
        pool_size=pgbouncer.pool_size or min(room, max(LEAST_POOL, useful)),
        max_clients=pgbouncer.max_clients or max(LEAST_CLIENTS, 2 * PER_PROCESS * processes + OTHER_CLIENTS),
        pool_size_is_set=pgbouncer.pool_size is not None,
        max_clients_is_set=pgbouncer.max_clients is not None,
    )


def explain(settings: Settings) -> list[str]:
    """How the pools' sizes come about, a line a step."""
    sizes = pool(settings)
    return [*_explain_connections(sizes), *_explain_pool(sizes), *_explain_clients(sizes)]


def _explain_connections(sizes: Pool) -> list[str]:
    return [
        f"max_db_connections = {sizes.max_db_connections}: all that PgBouncer may open",
        f"    {sizes.max_connections} connections of Postgres (OPENTR_POSTGRES_MAX_CONNECTIONS)",
        f"    − {SUPERUSERS} reserved for superusers − {DIRECT} for the direct ways (migrations, backups, psql)",
    ]


def _explain_pool(sizes: Pool) -> list[str]:
    busy, processes = 2 * sizes.cores + 1, sizes.api_processes + sizes.worker_processes
    side, users = sum(SIDE_POOLS.values()), ", ".join(f"{count} {user}" for user, count in SIDE_POOLS.items())
    which = f"{sizes.api_processes} of the API, {sizes.worker_processes} of the workers"
    return [
        f"pool_size of app_rw = {sizes.pool_size}: the connections that API and workers share",
        *(["    as OPENTR_PGBOUNCER_POOL_SIZE says; computed it would be:"] if sizes.pool_size_is_set else []),
        f"    {busy} + {processes} = {busy + processes}, at least {LEAST_POOL} (PgBouncer's own), at most {sizes.room}",
        f"    {busy} work at once: {sizes.cores} processors × 2 + 1 for the disk (PostgreSQL wiki, Number Of",
        "        Database Connections)",
        f"    {processes} more may be held by a process that is busy itself: {which}",
        f"    {sizes.room} is what is left: {sizes.max_db_connections} − {side} for the other users ({users})",
        f"        − {RESERVE} in reserve, for clients that have waited for {RESERVE_SECONDS} s",
    ]


def _explain_clients(sizes: Pool) -> list[str]:
    processes = sizes.api_processes + sizes.worker_processes
    computed = 2 * PER_PROCESS * processes + OTHER_CLIENTS
    return [
        f"max_client_conn = {sizes.max_clients}: clients at once",
        *(["    as OPENTR_PGBOUNCER_MAX_CLIENTS says; computed it would be:"] if sizes.max_clients_is_set else []),
        f"    {processes} processes × {PER_PROCESS} connections (5, and 10 more while they are needed)",
        f"    × 2 while one release replaces another + {OTHER_CLIENTS} others = {computed}; at least {LEAST_CLIENTS}",
    ]


def memory_text(size: int) -> str:
    """Bytes as Postgres's configuration writes them: 256MB, 4096kB."""
    return f"{size // MB}MB" if size % MB == 0 else f"{size // 1024}kB"


def _whole(size: int, unit: int) -> int:
    return size // unit * unit
