"""The environment that a command works on: its settings, its state, and the runtime that its services run in."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from logging.handlers import RotatingFileHandler
from typing import TYPE_CHECKING

from opentr import credentials, settings, state, ui
from opentr.errors.state import StateForeign, StateUnknown, VolumeVanished
from opentr.runtimes.choose import RECORD as RUNTIME_RECORD
from opentr.runtimes.choose import choose
from opentr.server import generations

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from opentr.credentials import Credentials
    from opentr.runtimes.base import Runtime
    from opentr.settings import Settings
    from opentr.state import State

DATABASE_RECORD = "database"
DATABASE_VOLUME = "postgres-data"
IMAGES_RECORD = "prepared"
"""The state's record of the images that the services were last prepared with."""
RELEASE_RECORD = "release"
"""The state's record of the release that runs in prod."""
VARIABLES = "compose.env"
_LOG_BYTES = 5_000_000


@dataclass(frozen=True)
class RuntimeWords:
    """What people call a runtime's things."""

    where: str
    """as in: opentr-dev on Docker Compose"""
    title: str
    service: str
    """what a service runs in, or as"""
    data: str
    """what a service keeps its data in"""


_WORDS = {
    "compose": RuntimeWords("on Docker Compose", "Docker Compose", "container", "volume"),
    "embedded": RuntimeWords("as local processes", "local processes", "process", "folder"),
}


@dataclass(frozen=True)
class Environment:
    """dev or prod."""

    settings: Settings
    state: State
    runtime: Runtime

    @property
    def name(self) -> str:
        """As one types it: dev or prod."""
        return self.settings.environment

    @property
    def words(self) -> RuntimeWords:
        """What people call what it runs in."""
        return _WORDS[self.runtime.name]


@contextmanager
def opened(name: str, *, command: str, changes: bool, runtime: str | None = None) -> Iterator[Environment]:
    """The environment `dev` or `prod`, ready to be worked on; its first line says where it runs.

    With `changes` nobody else changes it meanwhile, what is run is kept in the state's log, and a swap of generations
    that was interrupted is finished first.

    Raises SettingUnknown, SettingInvalid, StateUnwritable, EngineMissing, LockHeld, and StateForeign or StateUnknown if
    the project's containers or data belong to another state.
    """
    chosen = settings.read(name)
    place = state.opened(chosen)
    environment = Environment(chosen, place, choose(chosen, place, runtime))
    ui.note(first_line(environment))
    refuse_foreign(environment)
    if not changes:
        yield environment
        return
    with place.locked(command), _logged(place.folder / "opentr.log", command):
        generations.finish_interrupted(place, environment.runtime)
        yield environment


def first_line(environment: Environment) -> str:
    """Where it runs and why there, as in: opentr-dev on Docker Compose (Docker 26.1.5 at /var/run/docker.sock)."""
    return f"{environment.settings.project} {environment.words.where} ({environment.runtime.reason})"


def refuse_foreign(environment: Environment) -> None:
    """Raises StateForeign or StateUnknown if a container or a volume of this project carries another state's id."""
    project, ours = environment.settings.project, environment.state
    for owner in environment.runtime.owners():
        if owner.state_id == ours.id:
            continue
        if owner.checkout == str(settings.CHECKOUT):
            raise StateUnknown(project, ours.folder)
        raise StateForeign(project, owner.checkout)


def refuse_vanished(environment: Environment) -> None:
    """Raises VolumeVanished if a database was made here once and its volume is gone."""
    made = environment.state.read(DATABASE_RECORD)
    if made and DATABASE_VOLUME not in environment.runtime.volumes():
        made_at, kept_in = str(made.get("made_at", "")), environment.words.data
        raise VolumeVanished(environment.settings.project, environment.name, made_at, kept_in)


def prepare(environment: Environment, images: Mapping[str, str]) -> Credentials:
    """Everything before `up`: secrets, rendered configuration, the variables of the Compose file.

    `images` are references by name (postgres, api, …); none where the runtime has no images.
    """
    keep_runtime(environment)
    secrets = credentials.ensure(environment.state)
    environment.state.install(rendered(environment, secrets, images))
    environment.state.write(IMAGES_RECORD, {"images": dict(images)})
    return secrets


def keep_runtime(environment: Environment) -> None:
    """Write down which runtime this environment's data is made in."""
    environment.state.write(RUNTIME_RECORD, {"name": environment.runtime.name})


def rendered(
    environment: Environment, secrets: Credentials, images: Mapping[str, str], templates: Path | None = None
) -> dict[str, str]:
    """What `prepare` writes, by path below the state's folder; by another tree's templates, if they are given."""
    from opentr import render  # noqa: PLC0415 - only those who start something wait for it

    places = environment.runtime.places
    files = render.files(environment.settings, secrets, templates or render.TEMPLATES, images=images, places=places)
    annotation = environment.state.folder / render.RELEASE
    if annotation.is_file() and templates is None and environment.state.read(RELEASE_RECORD):
        files[render.RELEASE] = annotation.read_text(encoding="utf-8")  # the release's own, whatever is checked out
    variables = render.compose_variables(environment.settings, environment.state, files, secrets, images)
    return files | {VARIABLES: render.env_file(variables)}


def is_prepared(environment: Environment) -> bool:
    """Whether anything was ever prepared to be started."""
    return environment.state.read(IMAGES_RECORD) is not None


def prepared_images(environment: Environment) -> dict[str, str]:
    """The images that the services were last prepared with; none if they never were, or the runtime has no images."""
    return dict((environment.state.read(IMAGES_RECORD) or {}).get("images", {}))


class _Log(RotatingFileHandler):
    """The tool's own log. Nothing fails because there is no room for it: least of all what is about to make some."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the base class's name
        """As the base class, which shows what happened, but for a full disk."""
        error = sys.exc_info()[1]
        if not (isinstance(error, OSError) and error.errno in state.FULL):
            super().handleError(record)

    def close(self) -> None:
        """As the base class; what still waits for room is lost."""
        try:
            super().close()
        except OSError as error:
            if error.errno not in state.FULL:
                raise


@contextmanager
def _logged(file: Path, command: str) -> Iterator[None]:
    """Keep what is run, secrets left out."""
    log = logging.getLogger("opentr")
    handler = _Log(file, maxBytes=_LOG_BYTES, backupCount=1, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    try:
        log.info("begin: %s", command)
        yield
        log.info("end: %s", command)
    finally:
        log.removeHandler(handler)
        handler.close()
