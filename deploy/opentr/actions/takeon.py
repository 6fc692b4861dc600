"""`config apply`: settings and secrets as they are now, taken on by exactly the services that read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentr.actions import environment as environments
from opentr.actions import opening, start
from opentr.actions import steps as running
from opentr.errors.services import NothingRunning

if TYPE_CHECKING:
    from opentr.actions.steps import Step


def apply(environment: str, command: str, *, plan: bool) -> list[Step]:
    """Take on what has changed in settings and secrets, with the images that are in use; with `plan` only say how.

    Raises NothingRunning where nothing was ever started: that is what start is for.
    """
    with opening.opened(environment, command=command, changes=not plan) as opened:
        if not environments.is_prepared(opened):
            raise NothingRunning(opened.settings.project, environment)
        wanted = start.apply_steps(opened)
        if not plan:
            running.run(wanted)
        return wanted
