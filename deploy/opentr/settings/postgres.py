"""Postgres."""

from __future__ import annotations

from pydantic import Field

from opentr.settings.units import Port, Service, Size


class Postgres(Service):
    """The database server."""

    memory: Size = Field(
        Size.parse("1g"),
        ge=Size.parse("256m"),
        description="memory at most, as 512m or 2g; buffers are computed from it",
    )
    pids: int = Field(1024, ge=64, description="processes at most; each connection is one")
    shm_size: Size = Field(
        Size.parse("256m"),
        ge=Size.parse("64m"),
        description="shared memory (its /dev/shm), which parallel queries share",
    )
    port: Port = Field(15432, description="on 127.0.0.1, in dev alone; 0: any free one")
    max_connections: int = Field(
        100, ge=30, le=2000, description="connections to Postgres; clients of the pool share some of them"
    )
    max_wal_size: Size = Field(
        Size.parse("2g"), ge=Size.parse("256m"), description="write-ahead log between two checkpoints, on disk"
    )
    slow_statement_ms: int = Field(
        500, ge=-1, le=2**31 - 1, description="statements that take this many milliseconds are logged; -1: none, 0: all"
    )
    archive_timeout: int = Field(
        60,
        ge=1,
        le=86_400,
        description="seconds after which written changes reach the backups' repository at the latest, in prod",
    )
