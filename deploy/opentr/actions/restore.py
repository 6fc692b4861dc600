"""`restore prod` from its own backups: the whole cluster, as when a backup ended, or to the last archived moment.

The restored cluster is made and proven beside the live one while Postgres is down, then they change places. What was
replaced is kept until the next restore, and --undo puts it back. Whatever fails takes back what was done before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opentr import journal, ui
from opentr.actions import addresses, backup, cluster, mediastanding, reset_prod, restore_file, restoring
from opentr.actions.cluster import LATEST
from opentr.actions.restoring import Course
from opentr.actions.sizes import size
from opentr.actions.steps import run as run_steps
from opentr.errors import OpentrError, ServiceUnhealthy
from opentr.errors.restore import BackupUnfit, NothingReplaced, RestoreFailed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from opentr.actions.environment import Environment
    from opentr.actions.standing import Standing
    from opentr.actions.steps import Step
    from opentr.journal import Operation
    from opentr.server.backups import Backup
    from opentr.server.media import Placed

KIND = restore_file.KIND
BACKUP, UNDO = "backup", "undo"
"""The ways of a restore beside that from a file."""
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_finished: dict[tuple[str, str], Outcome] = {}
"""What this command has finished of an earlier one, by its way and its words. Who types the same again wants just that:
a second --undo would take it back, and a second restore would leave nothing of what the first one replaced."""


@dataclass(frozen=True)
class Stake:
    """What would be restored, and what is at stake."""

    backup: Backup | None
    """None: all that was archived"""
    newest: Backup
    live: reset_prod.Live | None
    """None: Postgres doesn't run, or doesn't answer"""
    passed_over: Sequence[str] = ()
    """newer backups that aren't taken, each with the reason"""

    @property
    def wanted(self) -> str:
        """What `restore_cluster` is to restore."""
        return self.backup.label if self.backup else LATEST

    def lines(self, now: datetime) -> list[str]:
        """For people, before they are asked."""
        there = self.live.lines() if self.live else ["the live database: Postgres doesn't run, or doesn't answer"]
        return [*there, *self.passed_over, *self._coming(now)]

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
            "all of it, as Postgres still runs and is stopped first"
            if self.live
            else "up to the last archived moment, and to the end of the log that its own volume still has"
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
    media: Placed

    def lines(self) -> list[str]:
        """For people."""
        kept = ["what it replaced is kept until the next restore; ./opentr.sh restore prod --undo puts it back"]
        unchecked = self.reached.get("unchecked", ())
        return [
            *([] if self.next else self.ways),
            f"restored   {self.what}",
            *self.reached.get("skipped", ()),
            *([f"amcheck didn't look at {', '.join(unchecked)}: it isn't there"] if unchecked else []),
            *kept,
            *([f"NEXT: {self.next}"] if self.next else []),
            *([f"NEXT: {mediastanding.UNKNOWN}"] if self.media == "unknown" else []),
        ]

    def data(self) -> dict[str, Any]:
        """For programs."""
        found = {"restored": self.what, "revision": self.standing.revision, "serves": not self.next}
        return found | {"next": self.next or None, "reached": self.reached, "media": self.media}


def observe(environment: Environment, wanted: str | None) -> Stake:
    """What would be restored: the backup of this ID (or `newest`), or with None all that was archived.

    Raises NothingRunning, NoBackups, BackupUnknown, BackupUnfit, RepositoryVanished, RepositoryUnreadable.
    """
    found = backup.catalogue(environment)
    newest = backup.find(found, backup.NEWEST, environment.name)
    chosen = backup.find(found, wanted, environment.name) if wanted else None
    if chosen and not chosen.restore_point:
        raise BackupUnfit(chosen.id, "it has no manifest, so nothing says where it ended")
    passed_over = backup.passed_over(found, newest) if wanted == backup.NEWEST else []
    return Stake(chosen, newest, _live(environment), passed_over)


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
    if done := _finished.get((BACKUP, _title(stake))):
        return done
    course = Course()
    planned = restoring.steps(environment, stake.wanted, _title(stake), course)
    _run(environment, planned, {"way": BACKUP, "what": _title(stake), **stake.data()}, course)
    return _outcome(environment, _title(stake), course)


def undo(environment: Environment) -> Outcome:
    """Put back what the last restore replaced; again: forth. Raises NothingReplaced, RestoreFailed, UndoFailed."""
    if done := _finished.get((UNDO, _REPLACED)):
        return done
    course = Course()
    _run(environment, restoring.undo_steps(environment, course), {"way": UNDO, "what": _REPLACED}, course)
    return _outcome(environment, _REPLACED, course)


def finish(environment: Environment, operation: Operation) -> None:
    """End a restore that was cut short: finish it once the clusters have changed places, else take it back.

    One that was being taken back already is taken back to the end. May be called again.

    Raises RestoreFailed, with what was there before serving again, and what taking back raises.
    """
    if operation.begun.data["way"] == restore_file.WAY:
        restore_file.finish(environment, operation)
        return
    environment.runtime.drop_leftovers()
    what = f"the restore of {operation.begun.data['what']} that was cut short"
    live = cluster.ids(environment.runtime).live if restoring.exchanged(operation) else ""
    if not restoring.goes_on(operation, live):
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
    services = operation.begun.data["running"] or restore_file.meant(environment)
    _opened(environment, operation, course, services, why="cut short, and finished by a later command")
    begun = operation.begun.data
    _finished[begun["way"], begun["what"]] = _outcome(environment, begun["what"], course)


def _run(environment: Environment, planned: list[Step], begun: dict[str, Any], course: Course) -> None:
    running = restoring.fenced(environment)
    operation = course.operation = journal.begin(environment.state, KIND, running=running, **begun)
    try:
        run_steps(planned, within=lambda step: operation.step(step, step), undoing=operation.undoing)
    except BaseException as error:
        if not operation.has(journal.UNDONE):
            raise  # it stays open: the next command takes it back
        if course.exchange:
            mediastanding.taken_back(environment)
        operation.close("reverted", why=_reason(error))
        if isinstance(error, OpentrError) and not isinstance(error, RestoreFailed | NothingReplaced):
            raise RestoreFailed(_reason(error)) from error
        raise
    _opened(environment, operation, course, restore_file.meant(environment))


def _take_back(environment: Environment, operation: Operation) -> str:
    """What was there before, and what ran then, again; returns how that makes the operation end.

    What doesn't come up may be why it was to be restored: so that is told, and stands in no later command's way.
    """
    begun = operation.begun.data
    with operation.undoing(), ui.step("put back what was there before"):
        restoring.take_back(environment, restoring.exchanged(operation), prepared=begun["way"] == BACKUP)
    if ran := begun["running"]:
        try:
            with ui.step(f"start {', '.join(ran)}"):
                environment.runtime.up(ran)
            mediastanding.taken_back(environment)
        except OpentrError as error:
            ui.note(f"what was there before doesn't serve: {error.what}; {error.hint}")
            return "failed"
    return "reverted"


def _outcome(environment: Environment, what: str, course: Course) -> Outcome:
    assert course.standing is not None  # noqa: S101 - the last step looks
    ways = addresses.lines(environment)
    return Outcome(
        what, course.standing, course.standing.next_line(environment.name), ways, course.reached, course.media
    )


def _opened(environment: Environment, operation: Operation, course: Course, services: list[str], **data: str) -> None:
    """Let the app run, and close the operation: also where the app doesn't come up, but not if this is cut short."""
    assert course.standing is not None  # noqa: S101 - as above
    try:
        restore_file.open_app(environment, course.standing, services)
    except OpentrError as error:
        operation.close("done", **data, app=error.what)
        raise
    operation.close("done", **data)
    _tidy(environment)


def _tidy(environment: Environment) -> None:
    """What can't be removed now is removed by the next restore."""
    try:
        with ui.step("remove what an earlier restore replaced"):
            cluster.tidy(environment.runtime)
    except OpentrError as error:
        ui.note(f"what an earlier restore replaced isn't removed: {error.what}; the next one removes it")


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
