"""`restore prod` from its own backups: the whole cluster, as when a backup ended, or to the last archived moment.

The restored cluster is made and proven beside the live one while Postgres is down, then they change places. What was
replaced is kept until the next restore, and --undo puts it back. Whatever fails takes back what was done before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opentr import journal, ui
from opentr.actions import addresses, backup, reset_prod, restore_file, restoring
from opentr.actions.cluster import LATEST
from opentr.actions.restoring import Course
from opentr.actions.sizes import size
from opentr.actions.steps import run as run_steps
from opentr.errors import OpentrError, ServiceUnhealthy, UndoFailed
from opentr.errors.restore import BackupUnfit, NothingReplaced, RestoreFailed

if TYPE_CHECKING:
    from datetime import datetime

    from opentr.actions.environment import Environment
    from opentr.actions.standing import Standing
    from opentr.actions.steps import Step
    from opentr.journal import Operation
    from opentr.server.backups import Backup

KIND = restore_file.KIND
BACKUP, UNDO = "backup", "undo"
"""The ways of a restore beside that from a file."""
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


@dataclass(frozen=True)
class Stake:
    """What would be restored, and what is at stake."""

    backup: Backup | None
    """None: all that was archived"""
    newest: Backup
    live: reset_prod.Live | None
    """None: Postgres doesn't run, or doesn't answer"""

    @property
    def wanted(self) -> str:
        """What `restore_cluster` is to restore."""
        return self.backup.label if self.backup else LATEST

    def lines(self, now: datetime) -> list[str]:
        """For people, before they are asked."""
        there = self.live.lines() if self.live else ["the live database: Postgres doesn't run, or doesn't answer"]
        return [*there, *self._coming(now)]

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
        rest = (
            "all of it, as Postgres still runs and is stopped first" if self.live else "up to the last archived moment"
        )
        return [f"{told}, and what was archived after it: {rest}"]

    def data(self) -> dict[str, Any]:
        """For programs."""
        return {"backup": self.backup.id if self.backup else None, "restored": self.wanted}


@dataclass(frozen=True)
class Outcome:
    """What a person wants to know afterwards."""

    what: str
    standing: Standing
    next: str
    ways: list[str]
    reached: dict[str, Any]

    def lines(self) -> list[str]:
        """For people."""
        kept = ["what it replaced is kept until the next restore; ./opentr.sh restore prod --undo puts it back"]
        return [
            *([] if self.next else self.ways),
            f"restored   {self.what}",
            *kept,
            *([f"NEXT: {self.next}"] if self.next else []),
        ]

    def data(self) -> dict[str, Any]:
        """For programs."""
        found = {"restored": self.what, "revision": self.standing.revision, "serves": not self.next}
        return found | {"next": self.next or None, "reached": self.reached}


def observe(environment: Environment, wanted: str | None) -> Stake:
    """What would be restored: the backup of this ID (or `newest`), or with None all that was archived.

    Raises NothingRunning, NoBackups, BackupUnknown, BackupUnfit, RepositoryVanished, RepositoryUnreadable.
    """
    found = backup.catalogue(environment)
    newest = backup.find(found, backup.NEWEST, environment.name)
    chosen = backup.find(found, wanted, environment.name) if wanted else None
    if chosen and not chosen.restore_point:
        raise BackupUnfit(chosen.id, "it has no manifest, so nothing says where it ended")
    return Stake(chosen, newest, _live(environment))


def deed(environment: Environment, stake: Stake, now: datetime) -> str:
    """What it does, for the question."""
    project = environment.settings.project
    if stake.backup is None:
        return f"stop {project}, and put a restored cluster with all that was archived in the place of its own"
    when = stake.backup.stopped_at
    return f"stop {project}, and take its database back to {at(when)}, {ago(now, when)}; what was written since goes"


def undo_deed(environment: Environment) -> str:
    """What --undo does, for the question."""
    return (
        f"stop {environment.settings.project}, and put back what the last restore replaced;"
        " what was written since that restore is put aside in its turn"
    )


def steps(environment: Environment, stake: Stake) -> list[Step]:
    """What `run` does, for --plan."""
    return restoring.steps(environment, stake.wanted, _title(stake), Course())


def undo_steps(environment: Environment) -> list[Step]:
    """What `undo` does, for --plan."""
    return restoring.undo_steps(environment, Course())


def run(environment: Environment, stake: Stake) -> Outcome:
    """Do it, each step written down.

    Raises RestoreFailed with what was there before in its place again, UndoFailed where that could not be.
    """
    course = Course()
    planned = restoring.steps(environment, stake.wanted, _title(stake), course)
    begun = {"way": BACKUP, "what": _title(stake), **stake.data()}
    _run(environment, planned, begun)
    return _outcome(environment, _title(stake), course)


def undo(environment: Environment) -> Outcome:
    """Put back what the last restore replaced; again: forth. Raises NothingReplaced, RestoreFailed, UndoFailed."""
    course = Course()
    _run(environment, restoring.undo_steps(environment, course), {"way": UNDO, "what": _REPLACED})
    return _outcome(environment, _REPLACED, course)


def finish(environment: Environment, operation: Operation) -> None:
    """End a restore that was cut short: finish it once the swap was made, else take it back. May be called again.

    Raises RestoreFailed, with what was there before serving again, and what taking back raises.
    """
    if operation.begun.data["way"] == restore_file.WAY:
        restore_file.finish(environment, operation)
        return
    environment.runtime.drop_leftovers()
    swapped = operation.found(restoring.SWAP) is not None
    what = f"the restore of {operation.begun.data['what']} that was cut short"
    if not swapped:
        ui.note(f"{what} is taken back first")
        operation.close(_take_back(environment, operation), why="cut short")
        return
    ui.note(f"{what} is finished first")
    course = Course()
    try:
        run_steps(restoring.later(environment, course), within=lambda step: operation.step(step, step))
    except OpentrError as error:
        operation.close(_take_back(environment, operation), why=error.what)
        raise RestoreFailed(_reason(error)) from error
    operation.close("done", why="cut short, and finished by a later command")
    _open(environment, course, operation.begun.data["running"] or restore_file.meant(environment))


def _run(environment: Environment, planned: list[Step], begun: dict[str, Any]) -> None:
    running = restoring.fenced(environment)
    operation = journal.begin(environment.state, KIND, running=running, **begun)
    try:
        run_steps(planned, within=lambda step: operation.step(step, step))
    except UndoFailed:
        raise  # it stays open: the next command tries again
    except (OpentrError, KeyboardInterrupt, SystemExit) as error:
        operation.close("reverted", why=_reason(error))
        if isinstance(error, OpentrError) and not isinstance(error, RestoreFailed | NothingReplaced):
            raise RestoreFailed(_reason(error)) from error
        raise
    operation.close("done")


def _take_back(environment: Environment, operation: Operation) -> str:
    """What was there before, and what ran then, again; returns how that makes the operation end.

    What doesn't come up may be why it was to be restored: so that is told, and stands in no later command's way.
    """
    begun = operation.begun.data
    with ui.step("put back what was there before"):
        if begun["way"] == BACKUP:
            restoring.take_back(environment, swapping=operation.found(restoring.SWAP, journal.STARTED) is not None)
        else:
            restoring.settle_exchange(environment, done=operation.found(restoring.SWAP) is not None)
    if ran := begun["running"]:
        try:
            with ui.step(f"start {', '.join(ran)}"):
                environment.runtime.up(ran)
        except OpentrError as error:
            ui.note(f"what was there before doesn't serve: {error.what}; {error.hint}")
            return "failed"
    return "reverted"


def _outcome(environment: Environment, what: str, course: Course) -> Outcome:
    assert course.standing is not None  # noqa: S101 - the last step looks
    _open(environment, course, restore_file.meant(environment))
    ways = addresses.lines(environment)
    return Outcome(what, course.standing, course.standing.next_line(environment.name), ways, course.reached)


def _open(environment: Environment, course: Course, services: list[str]) -> None:
    assert course.standing is not None  # noqa: S101 - as above
    restore_file.open_app(environment, course.standing, services)


def _live(environment: Environment) -> reset_prod.Live | None:
    """What serves now, if that can be asked."""
    if not any(each.service == "postgres" and each.healthy for each in environment.runtime.services()):
        return None
    try:
        return reset_prod.live(environment)
    except OpentrError:
        return None


def _title(stake: Stake) -> str:
    return f"backup {stake.backup.id}" if stake.backup else "all that was archived"


def _reason(error: BaseException) -> str:
    if isinstance(error, ServiceUnhealthy):
        return "; ".join([error.what, *(line.strip() for line in list(error.log)[-1:])])
    if isinstance(error, RestoreFailed):
        return error.reason
    return error.what if isinstance(error, OpentrError) else "interrupted"


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


_REPLACED = "what the last restore replaced"
