"""What the compose runtime has made for an environment, and how each of it goes: only what carries the state's id."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from opentr.containers import ONEOFF_LABEL, STATE_LABEL
from opentr.runtimes import builder, lifetime
from opentr.runtimes.base import Thing, Things
from opentr.runtimes.images import BASE
from opentr.sizes import size

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from opentr.containers import Container, Engine, Image, Network, Volume
    from opentr.settings import Settings
    from opentr.state import State

_GRACE_SECONDS = 30
# What serves others ends last.
_ORDER = ("proxy", "api", "worker", "migrate", "pgbouncer", "redis", "postgres")


def things(settings: Settings, state: State, engine: Engine, *, kept: Collection[str], sizes: bool) -> Things:
    """All of it, as the engine knows it now. Of the images, `kept` and those of containers aren't unused.

    With `sizes` the engine walks through the files of all volumes. Raises EngineMissing, EngineRefused.
    """
    project = settings.project
    containers = [each for each in engine.containers(project) if _ours(state, each.labels)]
    networks = [each for each in engine.networks(project) if _ours(state, each.labels)]
    volumes = [each for each in engine.volumes(project, sizes=sizes) if _ours(state, each.labels)]
    images = _images(state, engine)
    needed = {each.image for each in containers} | set(kept)
    return Things(
        services=(
            *(_container(engine, each) for each in sorted(containers, key=_order)),
            *(_network(engine, each) for each in networks),
        ),
        data=tuple(_volume(engine, each) for each in volumes),
        builds=tuple(_image(engine, name, image) for name, image in images.items()),
        leftovers=tuple(_container(engine, each) for each in containers if _is_leftover(each)),
        unused=tuple(_image(engine, name, image) for name, image in images.items() if _is_unused(name, needed)),
    )


def _ours(state: State, labels: Mapping[str, str]) -> bool:
    return labels.get(STATE_LABEL) == state.id


def _images(state: State, engine: Engine) -> dict[str, Image]:
    """The images that were made for this state and are still here, by name."""
    references = (state.read(builder.RECORD) or {}).get("references", [])
    found = {name: engine.image(name) for name in references}
    return {name: image for name, image in found.items() if image}


def _is_unused(name: str, needed: Collection[str]) -> bool:
    """Whether nothing needs the image; the base is what the others begin with, and the next build as well."""
    return name not in needed and f"/{BASE}:" not in name


def _is_leftover(container: Container) -> bool:
    """Whether it was made for one command, and that command was killed."""
    owner = container.labels.get(ONEOFF_LABEL)
    return owner is not None and lifetime.is_over(owner)


def _order(container: Container) -> tuple[int, str]:
    return (_ORDER.index(container.service) if container.service in _ORDER else 0, container.name)


def _container(engine: Engine, container: Container) -> Thing:
    return _thing(
        "container",
        f"{container.name} ({container.state})",
        f"docker rm -f {container.name}",
        partial(engine.remove_container, container.id, grace=_GRACE_SECONDS),
    )


def _network(engine: Engine, network: Network) -> Thing:
    how = f"docker network rm {network.name}"
    return _thing("network", network.name, how, partial(engine.remove_network, network.name))


def _volume(engine: Engine, volume: Volume) -> Thing:
    label = volume.name if volume.size is None else f"{volume.name} ({size(volume.size)})"
    return _thing("volume", label, f"docker volume rm {volume.name}", partial(engine.remove_volume, volume.name))


def _image(engine: Engine, name: str, image: Image) -> Thing:
    return _thing("image", f"{name} ({size(image.size)})", f"docker rmi {name}", partial(engine.remove_image, name))


def _thing(kind: str, label: str, how: str, remove: partial[None]) -> Thing:
    return Thing(label, f"remove the {kind} {label}", how, remove)
