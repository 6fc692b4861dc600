"""`clean`, `remove` and `purge`: what they find is told first, and only what carries this state's id is touched."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from opentr.actions import database, releases
from opentr.actions import environment as environments
from opentr.actions.sizes import size
from opentr.actions.steps import Step
from opentr.containers import ONEOFF_LABEL, STATE_LABEL
from opentr.errors import RuntimeRefused
from opentr.runtimes import builder, lifetime
from opentr.runtimes.compose import Compose
from opentr.runtimes.images import BASE
from opentr.server import generations, psql

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from opentr.actions.environment import Environment
    from opentr.containers import Container, Engine, Image, Network, Volume

_GRACE_SECONDS = 30
BUILD_LOGS = "build-*.log"


@dataclass(frozen=True)
class Found:
    """What there is of an environment, all of it with this state's id."""

    containers: list[Container] = field(default_factory=list)
    networks: list[Network] = field(default_factory=list)
    volumes: list[Volume] = field(default_factory=list)
    images: list[tuple[str, Image]] = field(default_factory=list)
    """name and image; those that this state made"""


def engine(environment: Environment) -> Engine:
    """The engine that the environment's containers run on. Raises RuntimeRefused for another runtime."""
    if not isinstance(environment.runtime, Compose):
        raise RuntimeRefused(environment.runtime.name, "it has no containers to remove")
    return environment.runtime.engine


def find(environment: Environment, *, sizes: bool = True) -> Found:
    """What the engine has of this environment."""
    place, project = engine(environment), environment.settings.project
    return Found(
        containers=[each for each in place.containers(project) if _ours(environment, each.labels)],
        networks=[each for each in place.networks(project) if _ours(environment, each.labels)],
        volumes=[each for each in place.volumes(project, sizes=sizes) if _ours(environment, each.labels)],
        images=_images(environment),
    )


def volume_words(environment: Environment) -> list[str]:
    """The volumes, each with its size."""
    return [_volume_words(each) for each in find(environment).volumes]


def remove_steps(environment: Environment) -> list[Step]:
    """Containers and networks; data, images and secrets stay. No steps: there are none."""
    found = find(environment, sizes=False)
    return _container_steps(environment, found) + _network_steps(environment, found)


def data_steps(environment: Environment) -> list[Step]:
    """Containers, networks and the volumes with all data; images and secrets stay."""
    found = find(environment)
    steps = _container_steps(environment, found) + _network_steps(environment, found)
    return [*steps, *(_volume_step(environment, each) for each in found.volumes), _forget_step(environment)]


def purge_steps(environment: Environment) -> list[Step]:
    """Everything: containers, networks, data, images, and the state with its secrets and backups."""
    found = find(environment)
    steps = _container_steps(environment, found) + _network_steps(environment, found)
    steps += [_volume_step(environment, each) for each in found.volumes]
    steps += [_image_step(environment, name, image) for name, image in found.images]
    folder = environment.state.folder
    what = f"remove the state: secrets, configuration, logs{_backup_words(folder)} ({size(_folder_bytes(folder))})"
    return [*steps, Step(what, f"rm -r {folder}", partial(_remove_folder, folder))]


def _remove_folder(folder: Path) -> None:
    """Remove the folder; where a link stands in its place, what that leads to, and the link."""
    shutil.rmtree(folder.resolve())
    if folder.is_symlink():
        folder.unlink()


def clean_steps(environment: Environment) -> list[Step]:
    """What nothing needs any more: images that no container uses and the code doesn't give, leftovers, build logs."""
    found = find(environment, sizes=False)
    used = {each.image for each in found.containers} | set(_prepared(environment))
    steps = [_container_step(environment, each) for each in found.containers if _leftover(each)]
    steps += [_image_step(environment, name, image) for name, image in found.images if _unused(name, used)]
    logs = sorted(environment.state.folder.glob(BUILD_LOGS))
    if logs:
        total = size(sum(log.stat().st_size for log in logs))
        steps.append(Step(f"remove {len(logs)} logs of builds ({total})", _rm(logs), lambda: _unlink(logs)))
    return steps + _template_steps(environment)


def _ours(environment: Environment, labels: Mapping[str, str]) -> bool:
    return labels.get(STATE_LABEL) == environment.state.id


def _images(environment: Environment) -> list[tuple[str, Image]]:
    """The images that were made for this state and are still here."""
    references = (environment.state.read(builder.RECORD) or {}).get("references", [])
    found = ((name, engine(environment).image(name)) for name in references)
    return [(name, image) for name, image in found if image]


def _prepared(environment: Environment) -> list[str]:
    """The images that the next start takes, and those of the release that serves and of the one before."""
    prepared = environments.prepared_images(environment).values()
    return [*prepared, *releases.kept_images(environment.state)]


def _unused(name: str, used: set[str]) -> bool:
    """Whether no container needs the image; the base is what the others begin with, and the next build as well."""
    return name not in used and f"/{BASE}:" not in name


def _leftover(container: Container) -> bool:
    """Whether it was made for one command, and that command was killed."""
    owner = container.labels.get(ONEOFF_LABEL)
    return owner is not None and lifetime.is_over(owner)


def _container_steps(environment: Environment, found: Found) -> list[Step]:
    # what serves others ends last
    return [_container_step(environment, each) for each in sorted(found.containers, key=_order)]


def _order(container: Container) -> tuple[int, str]:
    order = ("proxy", "api", "worker", "migrate", "pgbouncer", "redis", "postgres")
    return (order.index(container.service) if container.service in order else 0, container.name)


def _container_step(environment: Environment, container: Container) -> Step:
    def remove() -> None:
        engine(environment).remove_container(container.id, grace=_GRACE_SECONDS)

    return Step(f"remove the container {container.name} ({container.state})", f"docker rm -f {container.name}", remove)


def _network_steps(environment: Environment, found: Found) -> list[Step]:
    remove = engine(environment).remove_network
    return [
        Step(f"remove the network {each.name}", f"docker network rm {each.name}", partial(remove, each.name))
        for each in found.networks
    ]


def _volume_words(volume: Volume) -> str:
    return f"{volume.name} ({size(volume.size or 0)})"


def _volume_step(environment: Environment, volume: Volume) -> Step:
    def remove() -> None:
        engine(environment).remove_volume(volume.name)

    return Step(f"remove the volume {_volume_words(volume)}", f"docker volume rm {volume.name}", remove)


def _forget_step(environment: Environment) -> Step:
    """Without it the next start would take the volumes for vanished."""

    def forget() -> None:
        for record in (database.RECORD, generations.RECORD):
            environment.state.remove(record)

    return Step("forget that there was a database", f"rm {environment.state.folder}/{database.RECORD}.json", forget)


def _image_step(environment: Environment, name: str, image: Image) -> Step:
    def remove() -> None:
        engine(environment).remove_image(name)

    return Step(f"remove the image {name} ({size(image.size)})", f"docker rmi {name}", remove)


def _template_steps(environment: Environment) -> list[Step]:
    """The templates that the next reset wouldn't take, and what a killed reset left; known only while Postgres runs."""
    running = {each.service for each in environment.runtime.services() if each.healthy}
    if "postgres" not in running:
        return []
    there = generations.databases(environment.runtime)
    wanted = {database.template_name(environment, source) for source in database.TITLES}
    old = [name for name in database.templates(there) if name not in wanted]
    return [_drop_step(environment, name, there[name].size_bytes) for name in old]


def _drop_step(environment: Environment, name: str, size_bytes: int) -> Step:
    sql = f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"
    what = f"drop the old template {name} ({size(size_bytes)})"
    return Step(what, sql, lambda: psql.execute(environment.runtime, sql, psql.MAINTENANCE))


def _backup_words(folder: Path) -> str:
    dumps = [each for each in folder.glob("backups/*.dump") if each.is_file()]
    if not dumps:
        return "; there are no dumps in it"
    return f", and {len(dumps)} dumps of the database ({size(sum(each.stat().st_size for each in dumps))})"


def _folder_bytes(folder: Path) -> int:
    return sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())


def _rm(files: list[Path]) -> str:
    return f"rm {' '.join(str(each) for each in files)}"


def _unlink(files: list[Path]) -> None:
    for each in files:
        each.unlink(missing_ok=True)
