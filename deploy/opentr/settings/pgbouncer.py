"""PgBouncer."""

from __future__ import annotations

from pydantic import Field

from opentr.settings.units import Port, Service, Size


class Pgbouncer(Service):
    """The pool. `./opentr.sh config show pgbouncer` explains how its sizes are computed."""

    memory: Size = Field(Size.parse("256m"), ge=Size.parse("32m"), description="memory at most, as 512m or 2g")
    pids: int = Field(64, ge=16, description="processes at most")
    port: Port = Field(16432, description="on 127.0.0.1, in dev alone; 0: any free one")
    pool_size: int | None = Field(
        None, ge=1, description="connections to Postgres that app_rw's clients share; default: computed"
    )
    max_clients: int | None = Field(None, ge=10, le=14_000, description="clients at most; default: computed")
    query_wait_timeout: int = Field(
        120,
        ge=1,
        le=3600,
        description="seconds that a statement waits for a connection before its client gets an error",
    )
