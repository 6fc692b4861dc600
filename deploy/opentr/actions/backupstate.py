"""Whether production could be brought back now: its newest backups, their proofs, the archiving of WAL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentr.actions import backup
from opentr.server import backups

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from opentr.actions.environment import Environment
    from opentr.server.backups import Archiver, Backup

PROVEN_DAYS = 8
"""A proven backup that is older isn't enough: one a week, and a day to notice."""


@dataclass(frozen=True)
class BackupState:
    """What `status` tells, or why nothing is known."""

    fault: str | None = None
    count: int = 0
    newest: str | None = None
    newest_at: datetime | None = None
    proven: str | None = None
    """the newest backup of which a restore was right"""
    proven_at: datetime | None = None
    """when that backup was taken"""
    failed: str | None = None
    """the backup that was tried last, if it wasn't right"""
    failed_object: str = ""
    expected_seconds: int = 0
    """the schedule's shortest interval; 0: there is no schedule"""
    archiving_fails_since: datetime | None = None
    waiting_wal: int = 0
    """segments that aren't archived yet"""


def look(environment: Environment, deadline: float) -> BackupState:
    """Ask repository and archiver. Raises ServiceNotRunning, RepositoryUnreadable, ProcessFailed, ProcessTimedOut."""
    archiver = backups.archiver(environment.runtime, deadline=deadline)
    found = backups.look_inside(environment.runtime, deadline=deadline).backups
    schedule = environment.settings.backup
    intervals = [int(each) for each in (schedule.full_every, schedule.diff_every, schedule.incr_every) if each]
    return of(found, archiver, min(intervals, default=0))


def of(found: Sequence[Backup], archiver: Archiver, expected_seconds: int) -> BackupState:
    """What these backups, oldest first, amount to."""
    newest, proven = (found[-1] if found else None), backup.newest_proven(found)
    tried = [each.receipt for each in found if each.receipt]
    last = max(tried, key=lambda each: each.proven_at, default=None)
    failed = last if last and not last.ok else None
    return BackupState(
        count=len(found),
        newest=newest.id if newest else None,
        newest_at=newest.stopped_at if newest else None,
        proven=proven.id if proven else None,
        proven_at=proven.stopped_at if proven else None,
        failed=failed.label.rpartition("_")[2] if failed else None,
        failed_object="; ".join(failed.objects) if failed else "",
        expected_seconds=expected_seconds,
        archiving_fails_since=archiver.failing_since,
        waiting_wal=archiver.waiting,
    )
