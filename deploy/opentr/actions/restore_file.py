"""`restore FILE`: a logical dump is loaded beside the live database, proven there, and swapped in.

What was live stays beside it, as after a reset, and `reset --undo` brings it back. The media files stay,
also those of the generation before, whose database goes: the rows of the dump name the ones or the others.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from opentr import credentials, journal, settings, ui
from opentr.actions import addresses, database, dumpload, dumptext, releases, reset, reset_prod, standing, start
from opentr.actions import environment as environments
from opentr.actions.services import infra
from opentr.actions.steps import Step
from opentr.actions.steps import run as run_steps
from opentr.errors import OpentrError
from opentr.errors.restore import DumpForeign, DumpTooNew, DumpUnproven, RestoredUnserved
from opentr.runtimes.base import APP
from opentr.server import generations, psql, tables
from opentr.server.generations import NEXT, PREVIOUS

if TYPE_CHECKING:
    from opentr.actions.dumpfile import DumpFile
    from opentr.actions.environment import Environment
    from opentr.actions.standing import Standing
    from opentr.journal import Operation

KIND, WAY = "restore", "file"
_NEEDED = ("public.media_file", "public.user")
_OWNER = dumptext.OWNER
_SWAP = "swap it in"
_DATA = ("postgres", "redis")
_REPLACING = "which database is replaced"
"""Written down before the swap: by its number one sees afterwards whether it was made."""
_KNOWN = frozenset({_OWNER, "app_backup", "postgres", "PUBLIC", *credentials.ROLES})


@dataclass
class Course:
    """What the steps find out."""

    rows: dict[str, int] = field(default_factory=dict)
    """table -> rows, as restored"""
    standing: Standing | None = None
    operation: Operation | None = None


@dataclass(frozen=True)
class Outcome:
    """What a person wants to know afterwards."""

    file: str
    rows: int
    tables: int
    revision: str
    next: str
    """what is to be typed before the app can serve; empty if it serves"""
    ways: list[str]
    undo: str

    def lines(self) -> list[str]:
        """For people."""
        told = f"restored   {self.rows:,} rows in {self.tables} tables, from {self.file}"
        kept = f"what was live until now stays beside it ({PREVIOUS}); {self.undo} brings it back"
        logins = "users and their passwords are those of the dump"
        return [*([] if self.next else self.ways), told, logins, kept, *([f"NEXT: {self.next}"] if self.next else [])]

    def data(self) -> dict[str, Any]:
        """For programs."""
        found = {"file": self.file, "rows": self.rows, "tables": self.tables, "revision": self.revision}
        return found | {"serves": not self.next, "next": self.next or None, "undo": self.undo}


def observe(environment: Environment) -> reset_prod.Live:
    """The live database, its server started if need be. Raises VolumeVanished, ServiceUnhealthy."""
    run_steps(_start(environment))
    return reset_prod.live(environment)


def comparison(live: reset_prod.Live, dump: DumpFile) -> list[str]:
    """What is live and what the dump holds, as lines for the question."""
    if dump.rows is None or live.unreadable:
        return [*live.lines(), f"the dump {dump}"]
    names = sorted(name for name in live.rows.keys() | dump.rows.keys() if live.rows.get(name) or dump.rows.get(name))
    width = max((len(name) for name in names), default=5)
    counts = [f"  {name:{width}} {live.rows.get(name, 0):>12,} {dump.rows.get(name, 0):>12,}" for name in names]
    return [live.lines()[0], f"the dump {dump}", f"  {'rows':{width}} {'live':>12} {'dump':>12}", *counts]


def deed(environment: Environment, dump: DumpFile) -> str:
    """What it does, for the question."""
    return (
        f"stop {environment.settings.project}, and put the database in {dump.path.name} in the place of its own"
        f" (which stays beside it; what an earlier reset or restore put aside goes for good, its media files don't)"
    )


def steps(environment: Environment, dump: DumpFile, course: Course | None = None) -> list[Step]:
    """Load, prove, fence what writes, swap. Raises VolumeVanished, PreviousUnsaved, NoRoom, PassphraseLost."""
    credentials.ensure(environment.state)  # a swap needs them, and a fault of theirs mustn't show in the middle of it
    course = course or Course()
    runtime, state = environment.runtime, environment.state
    prod = environment.name == "prod"
    load = partial(dumpload.load, environment, dump)
    back = partial(generations.finish_interrupted, state, runtime)
    fence = [_reopened(environment, each, course) for each in reset_prod.fence(environment)] if prod else []
    if prod:
        reset_prod.refuse_unsaved(environment)
    return [
        *_start(environment),
        Step(
            f"restore {dump.path.name} beside the live database",
            _how(dump),
            load,
            back,
        ),
        Step("compare what is there now with the dump", _COMPARE, partial(_prove, environment, dump, course)),
        *fence,
        Step(_SWAP, reset.exchange(runtime, reset.BECOMES, _MEDIA), partial(_swap, environment, course)),
    ]


def run(environment: Environment, dump: DumpFile) -> Outcome:
    """Do it, each step written down; a failure takes back what was done. Raises what the steps raise."""
    course = Course()
    services = meant(environment)
    planned = steps(environment, dump, course)
    running = [each.service for each in environment.runtime.services() if each.state == "running"]
    operation = journal.begin(environment.state, KIND, way=WAY, file=str(dump.path), running=running)
    course.operation = operation
    try:
        run_steps(planned, within=lambda what: operation.step(what, what), undoing=operation.undoing)
    except BaseException as error:
        if operation.has(journal.UNDONE):
            _close_undone(environment, operation, error)
        raise
    assert course.standing is not None  # noqa: S101 - the proof comes before the swap
    try:
        open_app(environment, course.standing, services)
    except OpentrError as error:  # the data is swapped in; if this is cut short, the next command opens the app
        operation.close("done", revision=course.standing.revision, app=error.what)
        undo = f"./opentr.sh reset {environment.name} --undo"
        raise RestoredUnserved(str(dump.path), error.what, error.hint, undo) from error
    operation.close("done", revision=course.standing.revision)
    return _outcome(environment, dump, course.rows, course.standing)


def finish(environment: Environment, operation: Operation) -> None:
    """After one that was cut short: its swap is finished or taken back; what ran then runs again.

    Raises ProcessFailed.
    """
    runtime = environment.runtime
    there = {each.service for each in runtime.services() if each.state == "running"}
    try:
        if operation.found(_REPLACING, journal.STARTED) and not there.issuperset(_DATA):
            runtime.up(_DATA)  # else nobody can say which database is live
            generations.finish_interrupted(environment.state, runtime)
            there |= set(_DATA)
        swapped = _swapped(environment, operation)
    except OpentrError as error:  # as below; a swap that isn't done yet is finished when they run again
        ui.note(f"nobody can say whether the restore that was cut short was made: {error.what}; {error.hint}")
        operation.close("failed", why=f"it was cut short, and then: {error.what}")
        return
    if "postgres" in there and environment.state.read(generations.RECORD) is None:
        psql.execute(runtime, f"DROP DATABASE IF EXISTS {NEXT} WITH (FORCE);", psql.MAINTENANCE)
    ran = [name for name in operation.begun.data["running"] if name not in there]
    if ran:
        try:
            runtime.up(infra(environment))
            open_app(environment, standing.look(environment), ran)
        except OpentrError as error:  # it stands in no later command's way
            ui.note(f"what ran before doesn't come up: {error.what}; {error.hint}")
    ended = "finished" if swapped else "reverted"
    ui.note(f"the restore of {operation.begun.data['file']} that was cut short is {ended}")
    operation.close("done" if swapped else "reverted", why="it was cut short")


def _swapped(environment: Environment, operation: Operation) -> bool:
    """Whether the databases have changed places. Raises ServiceNotRunning, ProcessFailed."""
    replacing = operation.found(_REPLACING, journal.STARTED)
    return bool(replacing and _live_oid(environment) != replacing.data["oid"])


def _close_undone(environment: Environment, operation: Operation, cause: BaseException) -> None:
    """All was undone, but a swap that had come to the databases was finished. Left open where that can't be told."""
    try:
        swapped = _swapped(environment, operation)
    except OpentrError:
        return
    if swapped:
        back = f"./opentr.sh reset {environment.name} --undo"
        ui.note(
            f"the database of {operation.begun.data['file']} had been swapped in already; {back} takes it out again"
        )
    operation.close("done" if swapped else "reverted", why=str(cause) or "interrupted")


def meant(environment: Environment) -> list[str]:
    """What is to run afterwards: what was started before; all if nothing was. To be asked before it begins."""
    return start.meant_to_run(environment) or list(environment.runtime.defined)


def open_app(environment: Environment, found: Standing, services: list[str]) -> None:
    """Start these services; those of the app only if it can work on the database as it is. Raises ServiceUnhealthy."""
    start.remember(environment, services)
    if found.drift:
        ui.note(f"its schema isn't what revision {found.revision} makes: ./opentr.sh db current {environment.name}")
    able = APP[environment.name] if found.serves else (reset_prod.BACKUP,)
    app = [name for name in able if name in services]
    if app:
        with ui.step(f"start {', '.join(app)}"):
            environment.runtime.up(app)


def _start(environment: Environment) -> list[Step]:
    """The data services. Where production's database was dropped, `start` refuses, and this is the way back."""
    environments.refuse_vanished(environment)
    data = infra(environment)
    if environment.name == "dev" or environment.state.read(database.RECORD) is None:
        return start.steps(environment, data)
    healthy = {each.service for each in environment.runtime.services() if each.healthy}
    if healthy.issuperset(data):
        return []

    def begin() -> None:
        environment.runtime.up(["postgres", "redis"])
        generations.finish_interrupted(environment.state, environment.runtime)
        database.ensure_live(environment)
        environment.runtime.up(data)

    return [Step(f"start {', '.join(data)}", environment.runtime.shown("up", data), begin)]


def _reopened(environment: Environment, fence: Step, course: Course) -> Step:
    """The fence; its undoing starts only what can work on the database, as an interrupted swap is finished."""

    def undo() -> None:
        if course.operation and course.standing and _swapped(environment, course.operation):
            open_app(environment, course.standing, meant(environment))
        elif fence.undo:
            fence.undo()

    return replace(fence, undo=undo)


def _prove(environment: Environment, dump: DumpFile, course: Course) -> None:
    """Raises DumpUnproven, DumpForeign, DumpTooNew."""
    course.rows = tables.rows(environment.runtime, NEXT)
    if missing := [name for name in _NEEDED if name not in course.rows]:
        raise DumpForeign(dump.path, missing)
    counts = ((name, count, course.rows.get(name, 0)) for name, count in (dump.rows or {}).items())
    if wrong := [f"{name}: {there:,} rows in it, {here:,} restored" for name, there, here in counts if there != here]:
        raise DumpUnproven(dump.path, wrong)
    if dump.rows is None:
        ui.note("the dump doesn't say how many rows it holds, so there is nothing to compare them with")
    course.standing = standing.look(environment, NEXT)
    _refuse_newer(environment, dump, course.standing)


def _refuse_newer(environment: Environment, dump: DumpFile, found: Standing) -> None:
    if not found.newer:
        return
    release = releases.current(environment) if environment.name == "prod" else None
    ours = release.version if release else (settings.CHECKOUT / "VERSION").read_text(encoding="utf-8").strip()
    if _numbers(ours) < _numbers(found.oldest_release):
        raise DumpTooNew(dump.path, found.revision, found.oldest_release, ours)


def _numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


def _swap(environment: Environment, course: Course) -> None:
    state, runtime = environment.state, environment.runtime
    if course.operation:
        course.operation.write(journal.STARTED, _REPLACING, {"oid": _live_oid(environment)})
    with generations.guarded(state, runtime):
        generations.name_incoming(state, runtime)
        generations.prepare_media(state, runtime)
        reset.swap(environment)


def _live_oid(environment: Environment) -> str:
    sql = f"SELECT oid FROM pg_database WHERE datname = '{psql.DATABASE}'"
    return psql.script(environment.runtime, sql, psql.MAINTENANCE)


def _outcome(environment: Environment, dump: DumpFile, rows: dict[str, int], found: Standing) -> Outcome:
    if dump.grantees and (others := sorted(set(dump.grantees) - _KNOWN)):
        ui.note(f"what was granted to {', '.join(others)} there isn't granted here")
    return Outcome(
        file=str(dump.path),
        rows=sum(rows.values()),
        tables=len(rows),
        revision=found.revision,
        next=found.next_line(environment.name),
        ways=[] if environment.name == "dev" else addresses.lines(environment),
        undo=f"./opentr.sh reset {environment.name} --undo",
    )


def _how(dump: DumpFile) -> str:
    program = f"psql --single-transaction {NEXT}" if dump.form == "plain" else f"pg_restore --exit-on-error {NEXT}"
    return f"""\
CREATE DATABASE {NEXT} TEMPLATE template0 OWNER {_OWNER}; psql -f roles.sql
SET ROLE {_OWNER}; {program} <{dump.path}  -- without its owners and grants
psql -f roles.sql; ANALYZE"""


_COMPARE = """\
SELECT count(*) FROM each table
python -m app.db.current  -- at which revision it is"""
_MEDIA = "current becomes previous; the new current has the files of both (hard links), none goes"
