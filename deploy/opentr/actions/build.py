"""What an environment runs: building the images that aren't there, or installing the packages of local processes."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from opentr import ui
from opentr.actions import steps as running
from opentr.actions.steps import Step
from opentr.errors.engine import ImageUnknown
from opentr.runtimes.base import APP, INFRA
from opentr.runtimes.builder import Builder
from opentr.runtimes.compose import Compose
from opentr.runtimes.embedded import Embedded
from opentr.runtimes.images import BASE, RECIPES
from opentr.settings import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentr.actions.environment import Environment
    from opentr.runtimes.images import Build


def images(environment: Environment) -> dict[str, str]:
    """The environment's images, name -> reference; what isn't there is built first. Raises BuildFailed, DiskFull.

    None where the runtime needs no images.
    """
    running.run(steps(environment))
    return current(environment)


def current(environment: Environment, tree: Path = CHECKOUT) -> dict[str, str]:
    """The images that the tree's code makes, name -> reference, built or not; none before there is a base."""
    builder = _builder(environment, tree)
    wanted = builder.wanted(_services(environment)) if builder else []
    return {build.name: build.reference for build in wanted if build.name != BASE}


def ids(environment: Environment, references: Mapping[str, str]) -> dict[str, str]:
    """The images' own ids, by name; what isn't here is left out."""
    builder = _builder(environment)
    found = {name: builder.engine.image(reference) for name, reference in references.items()} if builder else {}
    return {name: image.id for name, image in found.items() if image}


def tags(references: Mapping[str, str], name: str) -> dict[str, str]:
    """The further names of images that belong to the release of this name: project/api:0.1.0-587fd77c5f29."""
    return {service: f"{reference.rpartition(':')[0]}:{name}" for service, reference in references.items()}


def tag(environment: Environment, references: Mapping[str, str], name: str) -> None:
    """Give these images their further names."""
    if builder := _builder(environment):
        for service, further in tags(references, name).items():
            builder.tag(references[service], further)


def data_folder(environment: Environment) -> Path | None:
    """Where the engine keeps images, containers and volumes; None where this runtime has no engine."""
    builder = _builder(environment)
    return Path(builder.engine.folder()) if builder else None


def steps(
    environment: Environment, names: Sequence[str] = (), *, no_cache: bool = False, tree: Path = CHECKOUT
) -> list[Step]:
    """What is to be built; no steps: all is there. `names`: these images only. Raises ImageUnknown.

    Local processes share one environment of packages: whatever is named, that is what they need.
    """
    for name in names:
        if name not in RECIPES:
            raise ImageUnknown(name, list(RECIPES))
    builder = _builder(environment, tree)
    if builder is None:
        return _package_steps(environment)
    wanted = tuple(names) or _services(environment)
    if builder.source() is None:
        return [_base_step(builder), _later_step(builder, wanted, no_cache=no_cache)]
    return [_build_step(builder, build, no_cache=no_cache) for build in _to_build(builder, wanted, no_cache=no_cache)]


def nothing_words(environment: Environment) -> str:
    """What is said where there is nothing to build."""
    return "All images are up to date." if _builder(environment) else "All packages are there; there are no images."


def _package_steps(environment: Environment) -> list[Step]:
    runtime = environment.runtime
    if not isinstance(runtime, Embedded) or not runtime.packages_missing():
        return []
    what = "install the packages of the API and the worker (a minute, once)"
    return [Step(what, "scripts/venv.sh embedded", runtime.install_packages)]


def _builder(environment: Environment, tree: Path = CHECKOUT) -> Builder | None:
    """None: this runtime needs no images."""
    runtime = environment.runtime
    return Builder(runtime.settings, runtime.state, runtime.engine, tree) if isinstance(runtime, Compose) else None


def _services(environment: Environment) -> tuple[str, ...]:
    return (*INFRA, *APP[environment.settings.environment])


def _to_build(builder: Builder, names: Sequence[str], *, no_cache: bool) -> list[Build]:
    wanted = builder.wanted(names)
    missing = builder.missing(wanted)
    if no_cache:
        return [build for build in wanted if build.name in names or build in missing]
    # The base alone is no reason: nothing that is to be built begins with it.
    return missing if BASE in names or any(build.name != BASE for build in missing) else []


def _build_step(builder: Builder, build: Build, *, no_cache: bool) -> Step:
    how = _how(build, no_cache=no_cache)
    return Step(f"build the image {build.name}", how, partial(builder.build, build, no_cache=no_cache))


def _how(build: Build, *, no_cache: bool) -> str:
    """The command as one would type it in the checkout; the whole one stands in the log when it runs."""
    recipe = build.recipe
    words = ["--file", recipe.dockerfile, *(["--target", recipe.target] if recipe.target else [])]
    words += ["--no-cache"] if no_cache else []
    return f"docker buildx build {' '.join(words)} .\n  --tag {build.reference}\n  --build-arg BASE={build.base}"


def _base_step(builder: Builder) -> Step:
    name = builder.settings.build.base_image
    how = f"docker pull {name}; where no registry answers: images/base/bootstrap.sh"
    return Step(f"get {name}, with which all images begin", how, builder.fetch_source)


def _later_step(builder: Builder, names: Sequence[str], *, no_cache: bool) -> Step:
    def build() -> None:
        for each in _to_build(builder, names, no_cache=no_cache):
            with ui.step(f"build the image {each.name}"):
                builder.build(each, no_cache=no_cache)

    how = "docker buildx build ... of each that isn't there; decided when its base is"
    return Step(f"build the images {', '.join(names)}", how, build)
