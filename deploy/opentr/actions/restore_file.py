"""`restore FILE`: a logical dump is loaded beside the live database, proven there, and swapped in.

What was live stays beside it, as after a reset, and `reset --undo` brings it back. The media files stay: the rows of
the dump name them.
"""

from __future__ import annotations

import os
import re
import tempfile
import threading
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import IO, TYPE_CHECKING, Any

from opentr import credentials, journal, settings, ui
from opentr.actions import addresses, database, dumpfile, dumptext, releases, reset, reset_prod, standing, start
from opentr.actions import environment as environments
from opentr.actions.services import known
from opentr.actions.sizes import size
from opentr.actions.steps import Step
from opentr.actions.steps import run as run_steps
from opentr.errors import NoRoom, OpentrError, ProcessFailed
from opentr.errors.restore import DumpForeign, DumpRefused, DumpTooNew, DumpUnproven, DumpUnusable
from opentr.runtimes.base import APP, INFRA
from opentr.server import generations, psql, tables
from opentr.server.generations import NEXT, PREVIOUS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager

    from opentr.actions.dumpfile import DumpFile
    from opentr.actions.environment import Environment
    from opentr.actions.standing import Standing
    from opentr.journal import Operation

KIND, WAY = "restore", "file"
_MARGIN_BYTES = 100_000_000
_ERROR = re.compile(r"^psql:<stdin>:(\d+): (?:ERROR|FATAL|error):\s+(.*)", re.MULTILINE)
_RESTORE_ERROR = re.compile(r"(?:^|: )(?:ERROR|error):\s+(.*)", re.MULTILINE)
_NEEDED = ("public.media_file", "public.user")
_OWNER = dumptext.OWNER
_SWAPPER = generations.SWAPPER
_SWAP = "swap it in"
_REPLACING = "which database is replaced"
"""Written down before the swap: by its number one sees afterwards whether it was made."""
# What the dump makes is made as app_owner, after its default privileges are there. What roles.sql makes beside these
# would be in the way of the dump's own, and is made again afterwards.
_WITHOUT_ROLES_OWN = "DROP SCHEMA IF EXISTS pgbouncer, amcheck CASCADE;"
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
        f" (which stays beside it; what an earlier reset or restore put aside goes for good)"
    )


def steps(environment: Environment, dump: DumpFile, course: Course | None = None) -> list[Step]:
    """Load, prove, fence what writes, swap. Raises VolumeVanished, PreviousUnsaved, NoRoom."""
    course = course or Course()
    runtime, state = environment.runtime, environment.state
    back = partial(generations.finish_interrupted, state, runtime)
    fence = reset_prod.fence(environment) if environment.name == "prod" else []
    if environment.name == "prod":
        reset_prod.refuse_unsaved(environment)
    return [
        *_start(environment),
        Step(f"restore {dump.path.name} beside the live database", _how(dump), partial(_load, environment, dump), back),
        Step("compare what is there now with the dump", _COMPARE, partial(_prove, environment, dump, course)),
        *fence,
        Step(_SWAP, _EXCHANGE, partial(_swap, environment, course)),
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
        run_steps(planned, within=lambda what: operation.step(what, what))
    except BaseException as error:
        operation.close("reverted", why=str(error))
        raise
    assert course.standing is not None  # noqa: S101 - the proof comes before the swap
    operation.close("done", revision=course.standing.revision)
    open_app(environment, course.standing, services)
    return _outcome(environment, dump, course.rows, course.standing)


def finish(environment: Environment, operation: Operation) -> None:
    """After one that was cut short: its swap is finished or taken back already; what ran then runs again.

    Raises ProcessFailed.
    """
    runtime = environment.runtime
    there = {each.service for each in runtime.services() if each.state == "running"}
    replacing = operation.found(_REPLACING, journal.STARTED)
    swapped = bool(replacing and "postgres" in there and _live_oid(environment) != replacing.data["oid"])
    if "postgres" in there and environment.state.read(generations.RECORD) is None:
        psql.execute(runtime, f"DROP DATABASE IF EXISTS {NEXT} WITH (FORCE);", psql.MAINTENANCE)
    ran = [name for name in operation.begun.data["running"] if name not in there]
    if ran:
        try:
            runtime.up(INFRA)
            open_app(environment, standing.look(environment), ran)
        except OpentrError as error:  # it stands in no later command's way
            ui.note(f"what ran before doesn't come up: {error.what}; {error.hint}")
    ended = "finished" if swapped else "reverted"
    ui.note(f"the restore of {operation.begun.data['file']} that was cut short is {ended}")
    operation.close("done" if swapped else "reverted", why="it was cut short")


def meant(environment: Environment) -> list[str]:
    """What is to run afterwards: what was started before; all if nothing was. To be asked before it begins."""
    return start.meant_to_run(environment) or list(known(environment.name))


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
    if environment.name == "dev" or environment.state.read(database.RECORD) is None:
        return start.steps(environment, INFRA)
    healthy = {each.service for each in environment.runtime.services() if each.healthy}
    if healthy.issuperset(INFRA):
        return []

    def begin() -> None:
        environment.runtime.up(["postgres", "redis"])
        generations.finish_interrupted(environment.state, environment.runtime)
        database.ensure_live(environment)
        environment.runtime.up(INFRA)

    return [Step(f"start {', '.join(INFRA)}", f"docker compose up --detach {' '.join(INFRA)}", begin)]


def _load(environment: Environment, dump: DumpFile) -> None:
    """Raises NoRoom, DumpRefused, DumpUnusable; then there is nothing of it any more."""
    runtime = environment.runtime
    _require_room(environment, dump)
    generations.begin(environment.state, NEXT, keeps_media=True)
    with generations.guarded(environment.state, runtime):
        _fill(environment, dump)


def _fill(environment: Environment, dump: DumpFile) -> None:
    runtime = environment.runtime
    roles = database.roles(environment)
    bare = database.bare_sql(environment, NEXT)
    psql.execute(runtime, f"{bare}\n{_WITHOUT_ROLES_OWN}", psql.MAINTENANCE, application=_SWAPPER)
    try:
        as_it_was = _stream(environment, dump)
    except ProcessFailed as failure:
        psql.refuse_full(failure)
        raise _refused(dump, failure) from failure
    except dumptext.Unusable as fault:
        raise DumpUnusable(dump.path, fault.reason, fault.hint) from fault
    drop = "" if as_it_was else _WITHOUT_ROLES_OWN
    psql.execute(runtime, f"{drop}\n{roles}\nANALYZE;", NEXT, application=_SWAPPER)


def _stream(environment: Environment, dump: DumpFile) -> bool:
    """Load it; whether with the owners and grants that it has."""
    as_it_was = dump.form == "custom" and _is_ours(environment, dump)
    argv = _psql() if dump.form == "plain" else _pg_restore(as_it_was=as_it_was)
    with _source(dump) as source:
        environment.runtime.stream("postgres", argv, source=source)
    return as_it_was


def _is_ours(environment: Environment, dump: DumpFile) -> bool:
    """Whether it is of a database that roles.sql was run in: then its owners are roles of ours."""
    with tempfile.TemporaryFile() as contents:
        with _source(dump) as source:
            environment.runtime.stream("postgres", ["pg_restore", "--list"], source=source, target=contents)
        contents.seek(0)
        return any(b" SCHEMA - pgbouncer " in line for line in contents)


def _psql() -> list[str]:
    r"""One transaction, as app_owner; no line of the dump is an order to psql itself, which \restrict sees to."""
    first = [f"SET ROLE {_OWNER}", f"\\restrict {os.urandom(16).hex()}"]
    options = [word for command in first for word in ("-c", command)]
    return psql.argv(NEXT, "--single-transaction", "-o", "/dev/null", *options, "-f", "-", application=_SWAPPER)


def _pg_restore(*, as_it_was: bool) -> list[str]:
    words = f"dbname={NEXT} user=postgres application_name={_SWAPPER}"
    whose = [] if as_it_was else ["--no-owner", "--no-privileges", f"--role={_OWNER}"]
    return ["pg_restore", "--exit-on-error", "--single-transaction", *whose, f"--dbname={words}"]


def _source(dump: DumpFile) -> AbstractContextManager[IO[bytes]]:
    """The dump as its program reads it; as it is where nothing has to be done to it."""
    as_it_is = dump.form == "custom" and not dump.compressed
    return dump.path.open("rb") if as_it_is else _piped(dumpfile.pieces(dump))


@contextmanager
def _piped(pieces: Iterable[bytes]) -> Iterator[IO[bytes]]:
    """A file that gives these pieces, written by a thread. Raises what making them raises, after the block."""
    reading, writing = os.pipe()
    faults: list[Exception] = []

    def write() -> None:
        try:
            with os.fdopen(writing, "wb") as out:
                for piece in pieces:
                    out.write(piece)
        except BrokenPipeError:
            pass  # who reads it has ended, and says why
        except Exception as error:  # noqa: BLE001 - it is raised where somebody waits
            faults.append(error)

    thread = threading.Thread(target=copy_context().run, args=(write,))
    thread.start()
    try:
        with os.fdopen(reading, "rb") as source:
            yield source
    except OpentrError as error:
        thread.join()
        if faults:  # it is why the block has failed
            raise faults[0] from error
        raise
    finally:
        thread.join()
    if faults:
        raise faults[0]


def _refused(dump: DumpFile, failure: ProcessFailed) -> DumpRefused:
    if found := _ERROR.search(failure.stderr):
        return DumpRefused(dump.path, int(found[1]), found[2])
    found = _RESTORE_ERROR.search(failure.stderr)
    return DumpRefused(dump.path, None, found[1] if found else failure.stderr.strip() or failure.what)


def _require_room(environment: Environment, dump: DumpFile) -> None:
    needed = dump.needs_bytes + _MARGIN_BYTES
    said = environment.runtime.run_in("postgres", ["df", "--output=avail", "--block-size=1", psql.VOLUME])
    free = int(said.split()[-1])
    if free < needed:
        raise NoRoom(f"restoring {dump.path.name}", f"the volume of Postgres ({psql.VOLUME})", size(needed), size(free))


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
_EXCHANGE = f"""\
PAUSE {psql.DATABASE}
ALTER DATABASE ... RENAME: {psql.DATABASE} becomes {PREVIOUS}, {NEXT} becomes {psql.DATABASE}
redis: SWAPDB 0 1; media: current becomes previous, and has the same files as before (hard links)
RESUME {psql.DATABASE}"""
