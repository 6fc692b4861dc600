"""`restore prod` from its own backups: the whole cluster, as when a backup ended, or to the last archived moment.

The restored cluster is made and proven beside the live one while Postgres is down, then they change places. What was
replaced is kept until the next restore, and --undo puts it back. Whatever fails takes back what was done before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opentr import credentials, journal, ui
from opentr.actions import addresses, backup, cluster, database, mediastanding, reset_prod, restore_file, restoring
from opentr.actions.environment import DATABASE_VOLUME
from opentr.actions.restoring import Course
from opentr.actions.stake import Replaced, Stake, ago, at
from opentr.actions.steps import run as run_steps
from opentr.errors import OpentrError, UndoFailed
from opentr.errors.restore import (
    BackupUnfit,
    NothingReplaced,
    RestoreBlocked,
    RestoredUnserved,
    RestoreFailed,
    RestoreStuck,
)
from opentr.errors.services import ServiceUnhealthy

if TYPE_CHECKING:
    from datetime import datetime

    from opentr.actions.backup import Fault
    from opentr.actions.environment import Environment
    from opentr.actions.standing import Standing
    from opentr.actions.steps import Step
    from opentr.errors.restore import Left
    from opentr.journal import Operation
    from opentr.server.media import Placed

KIND = restore_file.KIND
BACKUP, UNDO = "backup", "undo"
"""The ways of a restore beside that from a file."""
_finished: dict[tuple[str, str], Outcome] = {}
"""What this command has finished of an earlier one, by its way and its words. Who types the same again wants just that:
a second --undo would take it back, and a second restore would leave nothing of what the first one replaced."""


@dataclass(frozen=True)
class Outcome:
    """What a person wants to know afterwards."""

    what: str
    standing: Standing
    next: str
    ways: list[str]
    reached: dict[str, Any]
    media: Placed
    replaced: bool
    """whether anything was there before"""

    def lines(self) -> list[str]:
        """For people."""
        undo = "./opentr.sh restore prod --undo"
        kept = [f"what it replaced is kept until the next restore; {undo} puts it back"] if self.replaced else []
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

    Whatever can be known to fail fails here, while all still serves. Raises NothingRunning, NoBackups, BackupUnknown,
    BackupUnfit, RepositoryVanished, RepositoryUnreadable, PassphraseChanged, RestoreBlocked.
    """
    backup.require_passphrase(environment)
    found = backup.catalogue(environment)
    newest = backup.find(found, backup.NEWEST, environment.name)
    chosen = backup.find(found, wanted, environment.name) if wanted else None
    if chosen and not chosen.restore_point:
        raise BackupUnfit(chosen.id, "it has no manifest, so nothing says where it ended")
    passed_over = backup.passed_over(found, newest) if wanted == backup.NEWEST else []
    volume = DATABASE_VOLUME in environment.runtime.volumes()
    stake = Stake(chosen, newest, _live(environment), volume, passed_over)
    _refuse_unready(environment, stake.wanted)
    return stake


def observe_undo(environment: Environment) -> Replaced:
    """What would be put back. Raises NothingReplaced, PassphraseChanged, ClusterFailed."""
    credentials.ensure(environment.state)
    kept = cluster.kept(environment.runtime) if DATABASE_VOLUME in environment.runtime.volumes() else None
    if kept is None:
        raise NothingReplaced
    return Replaced(kept, _live(environment))


def is_done(stake: Stake | Replaced) -> bool:
    """Whether this command has finished just that already, as an earlier one had been cut short in it."""
    return (_way(stake), _title(stake)) in _finished


def deed(environment: Environment, stake: Stake | Replaced, now: datetime) -> str:
    """What it does, for the question."""
    project = environment.settings.project
    if isinstance(stake, Replaced):
        aside = "what was written since that restore is put aside in its turn"
        return f"stop {project}, and put back what the last restore replaced; {aside}"
    if stake.backup is None:
        return f"stop {project}, and give it a restored cluster with all that was archived"
    when = stake.backup.stopped_at
    return f"stop {project}, and take its database back to {at(when)}, {ago(now, when)}; what was written since goes"


def steps(environment: Environment, stake: Stake | Replaced, course: Course | None = None) -> list[Step]:
    """What `run` does."""
    course = course or Course()
    if isinstance(stake, Replaced):
        return restoring.undo_steps(environment, course)
    return restoring.steps(environment, stake.wanted, _title(stake), course)


def run(environment: Environment, stake: Stake | Replaced) -> Outcome:
    """Do it, each step written down. To put back what was replaced, done again, puts back the other one.

    Raises RestoreFailed with what was there before in its place again, RestoreStuck where that could not be, and
    RestoredUnserved where the app doesn't come up on what was restored.
    """
    if done := _finished.get((_way(stake), _title(stake))):
        return done
    course = Course()
    begun = {"way": _way(stake), "what": _title(stake)} | ({} if isinstance(stake, Replaced) else stake.data())
    _run(environment, steps(environment, stake, course), begun, course)
    return _outcome(environment, _title(stake), course)


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
    course = Course(exchange=restoring.exchanged(operation))
    try:
        run_steps(restoring.later(environment, course), within=lambda step: operation.step(step, step))
    except OpentrError as error:
        exchange = restoring.exchanged(operation)
        operation.close(_take_back(environment, operation), why=error.what)
        raise RestoreFailed(_reason(error), "before" if exchange and exchange.live else "restored") from error
    begun = operation.begun.data
    _opened(environment, operation, course, begun["what"], why="cut short, and finished by a later command")
    _finished[begun["way"], begun["what"]] = _outcome(environment, begun["what"], course)


def _run(environment: Environment, planned: list[Step], begun: dict[str, Any], course: Course) -> None:
    running = restoring.fenced(environment)
    operation = course.operation = journal.begin(environment.state, KIND, running=running, **begun)
    try:
        run_steps(planned, within=lambda step: operation.step(step, step), undoing=operation.undoing)
    except BaseException as error:
        _failed(operation, course, error)
        raise
    _opened(environment, operation, course, begun["what"])


def _failed(operation: Operation, course: Course, error: BaseException) -> None:
    """Close the operation if all was taken back; else it stays open, and the next command goes on with it.

    Raises RestoreFailed, RestoreStuck in the place of another error than an interrupt.
    """
    if isinstance(error, UndoFailed):
        raise RestoreStuck(_reason(error.__cause__ or error), [reason for _, reason in error.left]) from error
    if not operation.has(journal.UNDONE):
        ui.note("what was there before isn't back yet; this takes it back: ./opentr.sh start prod")
        return
    stays = course.exchange is not None and not course.exchange.live
    if not stays:  # there is something to go back to
        operation.close("reverted", why=_reason(error))
    if isinstance(error, OpentrError) and not isinstance(error, NothingReplaced):
        left: Left = "restored" if stays else "nothing" if course.live == "" else "before"
        raise RestoreFailed(_reason(error), left) from error
    if stays:
        ui.note("what was restored stays in its place; this goes on with it: ./opentr.sh start prod")
    elif course.live:
        ui.note("what was there before is there again")


def _take_back(environment: Environment, operation: Operation) -> str:
    """What was there before, and what ran then, again; returns how that makes the operation end.

    What doesn't come up may be why it was to be restored: so that is told, and stands in no later command's way.
    """
    begun = operation.begun.data
    with operation.undoing(), ui.step("put back what was there before"):
        there = restoring.take_back(environment, restoring.exchanged(operation), prepared=begun["way"] == BACKUP)
    if there.live and (ran := begun["running"]):
        try:
            with ui.step(f"start {', '.join(ran)}"):
                restoring.serve_again(environment, ran)
        except OpentrError as error:
            ui.note(f"what was there before doesn't serve: {error.what}; {error.hint}")
            return "failed"
    return "reverted"


def _outcome(environment: Environment, what: str, course: Course) -> Outcome:
    assert course.standing is not None  # noqa: S101 - the last step looks
    ways = addresses.lines(environment)
    replaced = bool(course.exchange and course.exchange.live)
    next_ = course.standing.next_line(environment.name)
    return Outcome(what, course.standing, next_, ways, course.reached, course.media, replaced)


def _opened(environment: Environment, operation: Operation, course: Course, what: str, **data: str) -> None:
    """Let the app run, and close the operation: also where the app doesn't come up, but not if this is cut short."""
    assert course.standing is not None  # noqa: S101 - as above
    if environment.state.read(database.RECORD) is None:  # the state has lost it
        database.record(environment, "migrations", course.standing.revision)
    try:
        restore_file.open_app(environment, course.standing, restore_file.meant(environment))
    except OpentrError as error:
        operation.close("done", **data, app=error.what)
        raise RestoredUnserved(what, error.what, error.hint, "./opentr.sh restore prod --undo") from error
    operation.close("done", **data)
    _tidy(environment)


def _tidy(environment: Environment) -> None:
    """What can't be removed now is removed by the next restore."""
    try:
        with ui.step("remove what an earlier restore replaced"):
            cluster.tidy(environment.runtime)
    except OpentrError as error:
        ui.note(f"what an earlier restore replaced isn't removed: {error.what}; the next one removes it")


def _refuse_unready(environment: Environment, wanted: str) -> None:
    """Raises RestoreBlocked. A lost volume isn't looked at, as looking would make it; nobody is served without it."""
    if DATABASE_VOLUME not in environment.runtime.volumes():
        return
    if fault := cluster.unready(environment.runtime, wanted):
        raise RestoreBlocked(fault.words, _way_out(environment, fault))


def _way_out(environment: Environment, fault: Fault) -> str:
    if fault.what == backup.ROOM:
        return "make room there, or free what the last restore replaced: ./opentr.sh clean prod"
    if "Crypto" in fault.what:
        file = environment.state.folder / f"secrets/{credentials.PASSPHRASE}"
        return f"put {file} back from your copy, then: ./opentr.sh config apply prod"
    return "mend what it names; the others are in ./opentr.sh backup list prod"


def _live(environment: Environment) -> reset_prod.Live | None:
    """What serves now, if that can be asked."""
    if not any(each.service == "postgres" and each.healthy for each in environment.runtime.services()):
        return None
    try:
        return reset_prod.live(environment)
    except OpentrError:
        return None


def _way(stake: Stake | Replaced) -> str:
    return UNDO if isinstance(stake, Replaced) else BACKUP


def _title(stake: Stake | Replaced) -> str:
    if isinstance(stake, Replaced):
        return _REPLACED
    return f"backup {stake.backup.id}" if stake.backup else "all that was archived"


def _reason(error: BaseException) -> str:
    if isinstance(error, ServiceUnhealthy):
        return "; ".join([error.what, *(line.strip() for line in list(error.log)[-1:])])
    return error.what if isinstance(error, OpentrError) else "interrupted"


_REPLACED = "what the last restore replaced"
