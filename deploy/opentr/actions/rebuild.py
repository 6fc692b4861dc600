"""Build the images of some services anew and put them in place."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from opentr.actions import build
from opentr.actions import environment as environments
from opentr.actions.steps import Step
from opentr.errors.services import DeployNeeded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentr.actions.environment import Environment


def steps(environment: Environment, services: Sequence[str]) -> list[Step]:
    """Build these services' images and replace what runs with others. Raises DeployNeeded in prod."""
    if environment.name == "prod":
        raise DeployNeeded
    environments.refuse_vanished(environment)
    before = environments.prepared_images(environment)

    def prepare() -> None:
        now = build.current(environment)
        environments.prepare(environment, (before or now) | {name: now[name] for name in services if name in now})

    return [
        *build.steps(environment, services),
        Step("write the configuration", f"files below {environment.state.folder}", prepare),
        Step(
            f"put {', '.join(services)} in place",
            environment.runtime.shown("up", services),
            partial(environment.runtime.up, services),
        ),
    ]
