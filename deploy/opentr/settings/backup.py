"""Backups: how often, how many are kept, and what making one may use of the machine."""

from __future__ import annotations

from pydantic import Field

from opentr.settings.units import Duration, Service, Size


class Backup(Service):
    """Backups of prod, and their proof."""

    memory: Size = Field(Size.parse("1g"), ge=Size.parse("256m"), description="memory at most, as 512m or 2g")
    pids: int = Field(256, ge=64, description="processes at most")
    processes: int = Field(2, ge=1, le=64, description="files that are compressed or restored at once")
    full_every: Duration = Field(
        Duration.parse("7d"), description="time between two full backups, as 7d; none: only those asked for"
    )
    diff_every: Duration = Field(
        Duration.parse("1d"), description="time between two differential backups, as 1d or 12h; none: never"
    )
    incr_every: Duration = Field(
        Duration.parse("1h"), description="time between two incremental backups, as 1h or 15m; none: never"
    )
    retention_full: int = Field(
        2, ge=1, le=9999, description="full backups that are kept, with all that build on them and their log"
    )
    retention_diff: int = Field(7, ge=1, le=9999, description="differential backups that are kept")
