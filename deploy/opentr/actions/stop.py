"""Stop services; what they are made of, and their data, stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentr.actions.services import refuse_absent
from opentr.actions.start import STARTED_RECORD
from opentr.actions.steps import Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentr.actions.environment import Environment

_AT_WORK = frozenset({"running", "restarting", "paused"})


def steps(environment: Environment, services: Sequence[str]) -> list[Step]:
    """Stop these services, by default all: then none is meant to run any more.

    None if they are stopped already, and commands that were killed have left nothing that runs.

    Raises PoolAbsent.
    """
    refuse_absent(environment, services)
    at_work = [each.service for each in environment.runtime.services() if each.state in _AT_WORK]
    wanted = [name for name in at_work if not services or name in services]
    if not wanted:
        left = environment.runtime.things(sizes=False).leftovers
        return [Step(each.what, each.how, each.remove) for each in left]
    names = ", ".join(wanted)
    how = environment.runtime.shown("stop", wanted)

    def stop() -> None:
        environment.runtime.stop(wanted)
        if not services:
            environment.state.remove(STARTED_RECORD)

    return [Step(f"stop {names}", how, stop)]
