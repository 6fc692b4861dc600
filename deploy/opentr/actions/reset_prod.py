"""`reset prod`: the database is dumped, the dump proven, a new one takes its place, and the old stays beside it.

From the dump's snapshot to the swap nothing of ours writes: proxy, API and workers are stopped.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opentr import ui
from opentr.actions import addresses, database, reset, safety, start
from opentr.actions.steps import Step
from opentr.actions.steps import run as run_steps
from opentr.errors import ProcessFailed
from opentr.errors.data import PreviousUnsaved
from opentr.errors.services import NothingRunning
from opentr.runtimes.base import APP, INFRA
from opentr.server import generations, tables
from opentr.server.generations import LIVE, PREVIOUS
from opentr.sizes import size

if TYPE_CHECKING:
    from opentr.actions.environment import Environment
    from opentr.actions.safety import Dump

BACKUP = "backup"
"""The service that makes backups: it writes nothing."""
RECORD = "previous"
"""The state's record of the newest dump, and of the generation that it has all of."""


@dataclass(frozen=True)
class Live:
    """What is at stake."""

    size_bytes: int
    revision: str
    rows: dict[str, int]
    unreadable: str = ""
    """why its rows can't be counted"""

    def lines(self) -> list[str]:
        """For people."""
        if self.unreadable:
            return [f"the live database {LIVE}: {size(self.size_bytes)}; it can't be read: {self.unreadable}"]
        revision = f"at revision {self.revision}" if self.revision else "without a revision"
        width = max((len(name) for name in self.rows), default=0)
        counts = [f"  {name:{width}} {count:>12,} rows" for name, count in self.rows.items() if count]
        empty = sum(not count for count in self.rows.values())
        more = [f"  and {empty} empty tables"] if empty else []
        return [f"the live database {LIVE}: {size(self.size_bytes)}, {revision}", *counts, *more]


@dataclass(frozen=True)
class Outcome:
    """What a person wants to know afterwards."""

    ways: list[str]
    dump: dict[str, Any] | None
    previous_bytes: int

    def lines(self) -> list[str]:
        """For people."""
        kept = (
            f"what was live until now stays beside it ({PREVIOUS}, {size(self.previous_bytes)}, and the media files);"
        )
        dumped = [f"dump       {self.dump['file']} ({size(self.dump['bytes'])}, proven)"] if self.dump else []
        return [*self.ways, *dumped, f"{kept} ./opentr.sh reset prod --undo brings it back"]

    def data(self) -> dict[str, Any]:
        """For programs."""
        return {"dump": self.dump, "previous_bytes": self.previous_bytes}


def observe(environment: Environment) -> Live:
    """The live database, its server started if need be.

    Raises NothingRunning if there never was one, ServiceUnhealthy if Postgres doesn't come up.
    """
    if environment.state.read(database.RECORD) is None:
        raise NothingRunning(environment.settings.project, environment.name)
    run_steps(start.steps(environment, INFRA))
    return live(environment)


def live(environment: Environment) -> Live:
    """What the server that runs has now, counted if that can be."""
    runtime = environment.runtime
    size_bytes = tables.size_bytes(runtime, LIVE)
    try:
        return Live(size_bytes, tables.revision(runtime, LIVE), tables.rows(runtime, LIVE))
    except ProcessFailed as failure:
        return Live(size_bytes, "", {}, failure.stderr.strip())


def deed(environment: Environment, *, undo: bool, dump: bool) -> str:
    """What it does, for the question."""
    project = environment.settings.project
    if undo:
        return f"stop {project}, and put the generation before in the place of this one"
    saved = "dump its database" if dump else "NOT dump its database"
    before = " (what an earlier reset put aside goes for good, with its media files)"
    return f"stop {project}, {saved}, and make a new, empty one in its place{before}"


def steps(environment: Environment, *, dump: bool) -> list[Step]:
    """Fence what writes, save, renew, start. Raises PreviousUnsaved."""
    refuse_unsaved(environment)
    dumps: list[tuple[str, Dump]] = []

    def save() -> None:
        first = tables.next_transaction(environment.runtime)
        dumps.append((first, safety.save(environment)))

    def renew() -> None:
        refuse_unsaved(environment)
        reset.renew(environment, "migrations")
        for first, saved in dumps:
            if _holds_all(environment, first, saved):
                _remember(environment, saved)

    saving = [Step("save the database", _SAVE, save)] if dump else []
    how = f"{_RENEW}\n{reset.exchange(environment.runtime, reset.BECOMES, 'current becomes previous')}"
    renewing = Step("make a new generation from the migrations", how, renew)
    return [*fence(environment), *saving, renewing, _open(environment)]


def undo_steps(environment: Environment) -> list[Step]:
    """Fence what writes, and exchange the live generation with the one before, of which nothing is lost.

    Raises NoGenerationBefore.
    """
    reset.require_generation_before(environment)
    swapping = reset.swap_back_step(environment)
    return [*fence(environment), swapping, _open(environment)]


def outcome(environment: Environment) -> Outcome:
    """Where things are now."""
    before = generations.databases(environment.runtime).get(PREVIOUS)
    saved = _dump_of(environment, before) if before else None
    return Outcome(addresses.lines(environment), saved, before.size_bytes if before else 0)


def refuse_unsaved(environment: Environment) -> None:
    """Raises PreviousUnsaved if the generation that this would drop has rows, and no dump."""
    running = {each.service for each in environment.runtime.services() if each.state == "running"}
    if "postgres" not in running:
        return
    before = generations.databases(environment.runtime).get(PREVIOUS)
    if before is None or _dump_of(environment, before) or not generations.has_tables(environment.runtime, PREVIOUS):
        return
    raise PreviousUnsaved(PREVIOUS)


def _dump_of(environment: Environment, generation: generations.Database) -> dict[str, Any] | None:
    """The dump that has all of this generation, if there is one and its file is still there."""
    record = environment.state.read(RECORD) or {}
    if record.get("generation") != generation.comment or not Path(record["dump"]["file"]).is_file():
        return None
    return dict(record["dump"])


def _holds_all(environment: Environment, first: str, dump: Dump) -> bool:
    """Whether the dump has all that is in the generation before: nobody wrote there since, by psql for instance."""
    runtime = environment.runtime
    written = tables.written_since(runtime, PREVIOUS, first)
    rows = tables.rows(runtime, PREVIOUS)
    written += [name for name in rows.keys() | dump.rows.keys() if rows.get(name) != dump.rows.get(name)]
    if written:
        ui.note(f"written to after the dump: {', '.join(sorted(set(written)))}; {PREVIOUS} has it, the dump hasn't")
    return not written


def fence(environment: Environment) -> list[Step]:
    """Stop what writes by itself, the proxy first; undone it runs again."""
    runtime, app = environment.runtime, set(APP[environment.name]) - {BACKUP}
    there = [each.service for each in runtime.services() if each.service in app and each.state == "running"]
    if not there:
        return []
    first = sorted(there, key=lambda name: name != "proxy")
    how = runtime.shown("stop", first)
    what = f"stop what writes: {', '.join(first)}"
    return [Step(what, how, lambda: runtime.stop(first), lambda: runtime.up(there), halfway=True)]


def _open(environment: Environment) -> Step:
    app = APP[environment.name]
    how = environment.runtime.shown("up", app)
    return Step(f"start {', '.join(app)}", how, lambda: environment.runtime.up(app))


def _remember(environment: Environment, dump: Dump) -> None:
    """Write down of which generation this is the dump: of the one that is now the one before."""
    generation = generations.databases(environment.runtime)[PREVIOUS].comment
    environment.state.write(RECORD, {"generation": generation, "dump": {"file": dump.file, "bytes": dump.bytes}})


_SAVE = f"""\
pg_dump --format=custom {LIVE}, in one snapshot, into <state>/backups
pg_restore --exit-on-error into {safety.PROOF}; count each table's rows in both; DROP DATABASE {safety.PROOF}"""
_RENEW = f"CREATE DATABASE {generations.NEXT}; python -m app.db.migrate; python -m app.initial_data"
