"""Start an environment, or take on what has changed in one that runs.

In dev the images and the configuration are the checkout's. In prod they are those of the release that runs here: the
first start records one, and from then on only deploy and rollback change it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from opentr import credentials, ui
from opentr.actions import build, database, releases, trees
from opentr.actions import environment as environments
from opentr.actions.restart import POSTGRES, behind_pause, write_step
from opentr.actions.steps import Step
from opentr.errors.deploy import OtherRelease, SchemaBehind
from opentr.errors.state import DatabaseVanished
from opentr.runtimes.base import INFRA
from opentr.runtimes.compose import RELEASE_FILE
from opentr.runtimes.images import image_of
from opentr.server import generations, pool, psql, tables

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentr.actions.database import Source
    from opentr.actions.environment import Environment
    from opentr.actions.releases import Release
    from opentr.runtimes.base import ServiceState

STARTED_RECORD = "started"
"""The state's record of the services that are meant to run."""
_SOURCES: dict[str, Source] = {"dev": "sql", "prod": "migrations"}


def steps(
    environment: Environment, services: Sequence[str], source: Source | None = None, meant: Sequence[str] = ()
) -> list[Step]:
    """Start these services; none if all of them are up as they should be. Raises VolumeVanished.

    Where there is no database it is made from `source`, by default the environment's own. `meant` are those that are
    to run in the end, by default these: whoever is cut short in between is known to have wanted them.
    """
    source = source or _SOURCES[environment.name]
    environments.refuse_vanished(environment)
    if environment.name == "prod" and environment.state.read(releases.RECORD):
        return _released(environment, services, source)
    return _of_checkout(environment, services, source, meant)


def apply_steps(environment: Environment) -> list[Step]:
    """Take on settings and secrets as they are now, with the images that are in use; none if nothing has changed."""
    _refuse_other_release(environment)
    files = _rendered(environment, environments.prepared_images(environment))
    running = [each.service for each in environment.runtime.services() if each.state == "running"]
    if not _changed(environment, files) and not _changed_roles(environment):
        return []
    keep = [_keep_step(environment)] if environment.name == "prod" else []
    return [write_step(environment), *_start(environment, running, files, _SOURCES[environment.name]), *keep]


def differing(environment: Environment) -> list[str]:
    """The files that settings and secrets would now give another content than the services have.

    None where another release than the one that serves is checked out: its configuration isn't for these services.
    """
    if _other_release(environment):
        return []
    return _changed(environment, _rendered(environment, environments.prepared_images(environment)))


def _of_checkout(environment: Environment, services: Sequence[str], source: Source, meant: Sequence[str]) -> list[Step]:
    files = _rendered(environment, build.current(environment))
    changed = _changed(environment, files)
    if not changed and _is_up(environment, services):
        return []
    write = [Step("write the configuration", "\n".join(changed), lambda: _prepare(environment))] if changed else []
    release = [_record_step(environment)] if environment.name == "prod" else []
    return [*build.steps(environment), *write, *_start(environment, services, files, source, meant), *release]


def _released(environment: Environment, services: Sequence[str], source: Source) -> list[Step]:
    if other := _other_release(environment):
        ui.note(f"{other} serves, and another release is checked out; ./opentr.sh deploy prod brings that one up")
    elif changed := differing(environment):
        ui.note(f"not in use yet: changes in {', '.join(changed)}; ./opentr.sh config apply prod takes them on")
    release = releases.current(environment)
    there = [name for name in services if release is None or name in release.services]
    return [] if _is_up(environment, there) else _start(environment, there, {}, source)


def _other_release(environment: Environment) -> Release | None:
    """The release that serves, if its configuration isn't made by what is checked out."""
    release = releases.current(environment) if environment.name == "prod" else None
    return release if release and releases.differs(release, trees.checkout()) else None


def _refuse_other_release(environment: Environment) -> None:
    if other := _other_release(environment):
        raise OtherRelease(str(other))


def _start(
    environment: Environment,
    services: Sequence[str],
    files: Mapping[str, str],
    source: Source,
    meant: Sequence[str] = (),
) -> list[Step]:
    """Data services, passwords, the database, the app. Postgres goes first and alone where it isn't as it should be."""
    infra = [name for name in services if name in INFRA]
    app = [name for name in services if name not in INFRA]
    roles = _changed_roles(environment)
    meant = meant or services
    result = []
    if alone := POSTGRES in infra and bool(roles or _postgres_changes(environment, files)):
        result.append(_postgres_step(environment))
    if alone and roles:
        result.append(_passwords_step(environment, roles))
    if pool.SERVICE in infra and not _is_healthy(environment, pool.SERVICE):
        result.append(_up_step(environment, [name for name in infra if name != pool.SERVICE], meant))
        result.append(_mend_step(environment))
    if others := [name for name in infra if not (alone and name == POSTGRES)]:
        result.append(_up_step(environment, others, meant))
    if infra:
        result.append(_database_step(environment, source))
    if app and POSTGRES in infra and environment.name == "prod":
        result.append(_schema_step(environment))
    if app:
        result.append(_up_step(environment, app, meant))
    return result


def _schema_step(environment: Environment) -> Step:
    def see() -> None:
        release = releases.current(environment)
        at = tables.revision(environment.runtime, generations.LIVE)
        if release and at.isdigit() and release.head.isdigit() and int(at) < int(release.head):
            raise SchemaBehind(release.id, at, release.head)

    return Step("look at the schema", "SELECT version_num FROM alembic_version: not older than the release", see)


def _up_step(environment: Environment, services: Sequence[str], meant: Sequence[str]) -> Step:
    def up() -> None:
        environments.keep_runtime(environment)
        remember(environment, meant)
        environment.runtime.up(services)

    return Step(f"start {', '.join(services)}", environment.runtime.shown("up", services), up)


def _postgres_step(environment: Environment) -> Step:
    how = environment.runtime.shown("up", [POSTGRES])
    if pool.is_there(environment.runtime):
        how = f"PAUSE opentranscribe, if it runs\n{how}\nRESUME opentranscribe"

    def up() -> None:
        environments.keep_runtime(environment)
        environment.runtime.up([POSTGRES])

    return Step("start postgres", how, partial(behind_pause, environment, up))


def _passwords_step(environment: Environment, roles: Sequence[str]) -> Step:
    def give() -> None:
        secrets = credentials.ensure(environment.state)
        psql.execute(environment.runtime, credentials.statements(secrets, roles), psql.MAINTENANCE)
        credentials.applied(environment.state, secrets)

    how = "\n".join(f"ALTER ROLE {role} PASSWORD ..." for role in roles)
    return Step("give the database's roles their passwords", how, give)


def _mend_step(environment: Environment) -> Step:
    """Without a live database that takes connections the pool isn't healthy."""

    def mend() -> None:
        generations.finish_interrupted(environment.state, environment.runtime)
        if generations.LIVE in generations.databases(environment.runtime):
            return
        _refuse_lost(environment)
        database.ensure_live(environment)

    return Step("look whether there is a database", "if somebody has dropped it: make it, empty", mend)


def _refuse_lost(environment: Environment) -> None:
    made = environment.state.read(database.RECORD)
    if made and environment.name == "prod":
        raise DatabaseVanished(environment.settings.project, str(made.get("made_at", "")), environment.state.folder)


def _is_healthy(environment: Environment, service: str) -> bool:
    return any(each.healthy for each in environment.runtime.services() if each.service == service)


def _database_step(environment: Environment, source: Source) -> Step:
    """Make the database where there never was one. What an earlier swap left half-done is finished first."""
    made = environment.state.read(database.RECORD)

    def see() -> None:
        generations.finish_interrupted(environment.state, environment.runtime)
        there = generations.LIVE in generations.databases(environment.runtime)
        if there and generations.has_tables(environment.runtime):
            if made is None:  # the state has lost it
                database.record(environment, source, tables.revision(environment.runtime, generations.LIVE))
            return
        _refuse_lost(environment)
        database.make_database(environment, source)

    what = "look at the database" if made else "make the database"
    return Step(what, f"if it is empty: make it from {database.TITLES[source]}", see)


def _record_step(environment: Environment) -> Step:
    def record() -> None:
        release = releases.of_tree(environment, trees.checkout(), environments.prepared_images(environment))
        environment.state.install(release.files)
        releases.store(environment, release)
        releases.make_current(environment, release)

    how = f"{releases.RECORD}.json, {releases.FOLDER}/ and {RELEASE_FILE} in {environment.state.folder}"
    return Step("record the release", how, record)


def remember(environment: Environment, services: Sequence[str]) -> None:
    """Write down that these services are meant to run, beside those that are already."""
    meant = meant_to_run(environment)
    environment.state.write(STARTED_RECORD, {"services": sorted({*meant, *services})})


def meant_to_run(environment: Environment) -> list[str]:
    """The services that were started and not forgotten since; none if nothing ever was."""
    return list((environment.state.read(STARTED_RECORD) or {}).get("services", []))


def _prepare(environment: Environment) -> None:
    environments.prepare(environment, build.images(environment))


def _is_up(environment: Environment, services: Sequence[str]) -> bool:
    """Whether there is a database, and each of these services is healthy and is made from what it should be."""
    there = {each.service: each for each in environment.runtime.services()}
    made = environment.state.read(database.RECORD) is not None
    return (
        made
        and not _changed_roles(environment)
        and all(there[name].healthy for name in services)
        and _is_current(environment, [there[name] for name in services])
        and (POSTGRES not in services or generations.LIVE in generations.databases(environment.runtime))
    )


def _is_current(environment: Environment, services: Sequence[ServiceState]) -> bool:
    """Whether these have the images that they should have; what has none, the runtime knows."""
    if any(each.image for each in services):
        images = environments.prepared_images(environment)
        return all(each.image == images.get(image_of(each.service)) for each in services)
    return not {each.service for each in services} & set(environment.runtime.outdated())


def _keep_step(environment: Environment) -> Step:
    how = f"{releases.FOLDER}/ in {environment.state.folder}"
    return Step("write the configuration into the release's record", how, lambda: releases.refresh(environment))


def _rendered(environment: Environment, images: Mapping[str, str]) -> dict[str, str]:
    return environments.rendered(environment, credentials.ensure(environment.state), images)


def _changed(environment: Environment, files: Mapping[str, str]) -> list[str]:
    """The files that aren't in the state as they are here."""
    folder = environment.state.folder
    return [
        name
        for name, text in sorted(files.items())
        if not (folder / name).is_file() or (folder / name).read_text(encoding="utf-8") != text
    ]


def _changed_roles(environment: Environment) -> list[str]:
    return credentials.changed_roles(environment.state, credentials.ensure(environment.state))


def _postgres_changes(environment: Environment, files: Mapping[str, str]) -> bool:
    """Whether `up` would replace Postgres: a variable of its own is another one."""
    variables = environment.state.folder / environments.VARIABLES
    before = set(variables.read_text(encoding="utf-8").splitlines()) if variables.is_file() else set()
    now = set(files.get(environments.VARIABLES, "").splitlines())
    return any("POSTGRES_" in line.split("=")[0] or "IMAGE_POSTGRES" in line for line in now - before)
