"""What is at stake in a restore from a backup, and in its --undo: what people read before they are asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opentr.actions.cluster import LATEST
from opentr.sizes import size

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from opentr.actions.cluster import Kept
    from opentr.actions.reset_prod import Live
    from opentr.server.backups import Backup

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


@dataclass(frozen=True)
class Stake:
    """What would be restored, and what is at stake."""

    backup: Backup | None
    """None: all that was archived"""
    newest: Backup
    live: Live | None
    """None: Postgres doesn't run, or doesn't answer"""
    volume: bool = True
    """whether the data's volume is there; else the log that wasn't archived is lost with it"""
    passed_over: Sequence[str] = ()
    """newer backups that aren't taken, each with the reason"""

    @property
    def wanted(self) -> str:
        """What `restore_cluster` is to restore."""
        return self.backup.label if self.backup else LATEST

    def lines(self, now: datetime) -> list[str]:
        """For people, before they are asked."""
        return [*live_lines(self.live), *self.passed_over, *self._coming(now)]

    def _coming(self, now: datetime) -> list[str]:
        from_backup = self.backup or self.newest
        proof = from_backup.receipt
        proven = f"proven {ago(now, proof.proven_at)}" if proof and proof.ok else "never proven"
        if proof and not proof.ok:
            proven = f"its proof FAILED {ago(now, proof.proven_at)}"
        told = f"backup {from_backup.id} ({from_backup.kind}, {size(from_backup.bytes)}, {proven})"
        if self.backup:
            return [
                f"{told} ended at {at(self.backup.stopped_at)}, {ago(now, self.backup.stopped_at)}",
                "what was written after that isn't in it, and would be missing afterwards",
            ]
        rest = "up to the last archived moment"
        if self.live:
            rest = "all of it, as Postgres still runs and is stopped first"
        elif self.volume:
            rest += ", and to the end of the log that its own volume still has"
        return [f"{told}, and what was archived after it: {rest}"]

    def data(self) -> dict[str, Any]:
        """For programs."""
        return {"backup": self.backup.id if self.backup else None, "restored": self.wanted}


@dataclass(frozen=True)
class Replaced:
    """What --undo would put back, and what is at stake."""

    kept: Kept
    live: Live | None
    """None: Postgres doesn't run, or doesn't answer"""

    def lines(self, now: datetime) -> list[str]:
        """For people, before they are asked."""
        return [*live_lines(self.live), f"what the last restore replaced: {kept_words(self.kept, now)}"]


def kept_words(kept: Kept, now: datetime) -> str:
    """How large a cluster is, and until when it was written to."""
    told = [size(kept.bytes)] if kept.bytes else []
    if until := kept.written_until:
        told.append(f"written to until {at(until)}, {ago(now, until)}")
    return ", ".join(told) or "a cluster that doesn't say how old it is"


def live_lines(live: Live | None) -> list[str]:
    """What serves now."""
    return live.lines() if live else ["the live database: Postgres doesn't run, or doesn't answer"]


def at(moment: datetime) -> str:
    """A moment as the operator's clock tells it."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"


def ago(now: datetime, moment: datetime) -> str:
    """How long ago that was, in its two largest units: 3 h 12 min ago."""
    left = max(0, round((now - moment).total_seconds()))
    units = ((left // _DAY, "d"), (left % _DAY // _HOUR, "h"), (left % _HOUR // _MINUTE, "min"), (left % _MINUTE, "s"))
    first = next((place for place, (count, _) in enumerate(units) if count), len(units) - 1)
    told = [f"{count} {unit}" for count, unit in units[first : first + 2] if count]
    return f"{' '.join(told) or '0 s'} ago"
