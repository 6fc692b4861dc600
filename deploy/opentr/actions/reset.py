"""`reset dev`: a new generation of the developer's data, beside the old one, which --undo brings back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opentr import ui
from opentr.actions import addresses, database, remove, services, start
from opentr.actions.steps import Step
from opentr.errors.data import NoGenerationBefore
from opentr.errors.services import PoolNotPaused
from opentr.server import generations, pool, psql, sessions
from opentr.server.generations import NEXT, PREVIOUS

if TYPE_CHECKING:
    from opentr.actions.database import Source
    from opentr.actions.environment import Environment
    from opentr.runtimes.base import Runtime

AHEAD = "init_db.sql is ahead of the migrations; type ./opentr.sh db revision -m ..."


@dataclass(frozen=True)
class Summary:
    """What a person wants to know after a reset."""

    ways: list[str]
    """a line for each address, and the administrator's login"""
    addresses: dict[str, str]
    """service -> host:port on this machine"""
    admin: dict[str, str]
    made: dict[str, Any] | None
    """what the live generation was made from, and its revision; None after an undo"""

    def lines(self) -> list[str]:
        """For people."""
        ahead = self.made is not None and self.made["revision"] is None
        return [*self.ways, *([AHEAD] if ahead else [])]

    def data(self) -> dict[str, Any]:
        """For programs; they read the password where it lies."""
        return {"addresses": self.addresses, "admin": self.admin, "made": self.made}


def steps(environment: Environment, source: Source) -> list[Step]:
    """Start what doesn't run as it should, and give it a new generation of data. Raises VolumeVanished."""
    meant = start.meant_to_run(environment) or environment.runtime.defined
    first = start.steps(environment, services.infra(environment), source, meant)
    later = _app_steps(environment, {step.what for step in first})
    return [*first, _new_generation(environment, source), *later]


def undo_steps(environment: Environment) -> list[Step]:
    """Exchange the live generation with the one before. Raises VolumeVanished, NoGenerationBefore."""
    require_generation_before(environment)
    first = start.steps(environment, services.infra(environment))
    later = _app_steps(environment, {step.what for step in first})
    return [*first, swap_back_step(environment), *later]


def require_generation_before(environment: Environment) -> None:
    """Raises NoGenerationBefore if that is clear without starting anything."""
    running = {each.service for each in environment.runtime.services() if each.healthy}
    if environment.state.read(database.RECORD) is None:
        raise NoGenerationBefore
    if "postgres" in running:
        generations.require_previous(environment.runtime)


def swap_back_step(environment: Environment) -> Step:
    """Exchange the live generation with the one before."""
    renaming = f"{psql.DATABASE} and {PREVIOUS} change places"
    how = exchange(environment.runtime, renaming, "current and previous change places")
    return Step("swap back to the generation before", how, lambda: _swap_back(environment))


def hard_steps(environment: Environment) -> list[Step]:
    """Remove what runs and all data, for good; images and secrets stay."""
    return remove.data_steps(environment)


def anew_step(environment: Environment, source: Source) -> Step:
    """What follows when all is gone, for --plan: its steps are known only then."""
    how = f"as ./opentr.sh reset {environment.name} --from {source} with nothing there; decided then"
    return Step("start and make everything anew", how, lambda: None)


def hard_deed(environment: Environment) -> str:
    """What --hard does, with the sizes of what goes."""
    return f"remove all data of {environment.settings.project}, for good: {', '.join(remove.data_words(environment))}"


def summary(environment: Environment, *, undone: bool = False) -> Summary:
    """Where things are now, and who may log in."""
    file = environment.state.folder / "secrets" / "admin_password"
    return Summary(
        ways=addresses.lines(environment, password=True),
        addresses={each.service: each.addresses[0] for each in environment.runtime.services() if each.addresses},
        admin={"email": environment.settings.admin.email, "password_file": str(file)},
        made=None if undone else environment.state.read(database.RECORD),
    )


def _app_steps(environment: Environment, known: set[str]) -> list[Step]:
    """The app's services, unless only the data services are meant to run; without the steps that are known."""
    app = services.app(environment)
    meant = start.meant_to_run(environment)
    if meant and not set(meant) & set(app):
        return []
    return [step for step in start.steps(environment, app) if step.what not in known]


def _new_generation(environment: Environment, source: Source) -> Step:
    before = environment.state.read(database.RECORD)

    def make() -> None:
        if before is None and environment.state.read(database.RECORD):
            return  # there was none at all, and starting has made it
        renew(environment, source)

    return Step(f"make a new generation from {database.TITLES[source]}", _how(environment, source), make)


def renew(environment: Environment, source: Source) -> None:
    """Make a new generation and swap it in; the live one becomes the one before."""
    state, runtime = environment.state, environment.runtime
    with generations.guarded(state, runtime):
        token = generations.begin(state, runtime, NEXT)
        made = database.make_next(environment, source, then=generations.naming(token, NEXT))
        generations.prepare_media(state, runtime)
        swap(environment)
    database.record(environment, source, made.revision)


def _swap_back(environment: Environment) -> None:
    state, runtime = environment.state, environment.runtime
    generations.require_previous(runtime)
    with generations.guarded(state, runtime):
        token = generations.begin(state, runtime, PREVIOUS)
        naming = generations.naming(token, PREVIOUS)
        psql.execute(runtime, naming, psql.MAINTENANCE, application=generations.SWAPPER)
        swap(environment)


def swap(environment: Environment) -> None:
    """Swap. Sessions that hold up the pool are ended: what they have written goes aside anyway."""
    state, runtime = environment.state, environment.runtime
    try:
        generations.swap(state, runtime, database.PAUSE_SECONDS)
    except PoolNotPaused as held_up:
        for session in held_up.sessions:
            ui.note(f"ended, since it held up the pool: {session}")
        sessions.end(runtime, held_up.pids)
        generations.swap(state, runtime, database.PAUSE_SECONDS)


def _how(environment: Environment, source: Source) -> str:
    template = database.template_name(environment, source)
    return f"""\
CREATE DATABASE {NEXT} TEMPLATE {template}  -- made from {database.TITLES[source]} first, if it isn't there
{exchange(environment.runtime, BECOMES, "current becomes previous")}
DROP DATABASE {generations.DISCARDED}  -- which was {PREVIOUS} until then; likewise the media files"""


BECOMES = f"{psql.DATABASE} becomes {PREVIOUS}, {NEXT} becomes {psql.DATABASE}"
"""What a swap does to the databases."""


def exchange(runtime: Runtime, renaming: str, media: str) -> str:
    """How a swap is done, for --plan; its words say what happens to the databases and to the media files."""
    swapped = f"ALTER DATABASE ... RENAME: {renaming}\nredis: SWAPDB 0 1; media: {media}"
    if pool.is_there(runtime):
        return f"PAUSE {psql.DATABASE}\n{swapped}\nRESUME {psql.DATABASE}"
    return f"ALTER DATABASE {psql.DATABASE} ALLOW_CONNECTIONS false, and end its sessions\n{swapped}"
