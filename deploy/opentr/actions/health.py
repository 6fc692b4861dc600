"""Whether an environment does its work: what its services' health checks last said, which prove service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentr.actions import start

if TYPE_CHECKING:
    from opentr.actions.environment import Environment

_WIDTH = 10


@dataclass(frozen=True)
class Health:
    """Each service that was started, and how it is."""

    services: dict[str, str]

    @property
    def healthy(self) -> bool:
        """Whether something was started, and all of it does its work."""
        return bool(self.services) and set(self.services.values()) == {"healthy"}

    def lines(self) -> list[str]:
        """A line for each service."""
        return [f"{name:{_WIDTH}} {state}" for name, state in self.services.items()] or ["nothing was started"]


def look(environment: Environment) -> Health:
    """How the services are that were started; all that there are where none was recorded."""
    there = environment.runtime.services()
    meant = start.meant_to_run(environment) or [each.service for each in there if each.state != "missing"]
    told = {each.service: (each.health or each.state) if each.state == "running" else each.state for each in there}
    return Health({name: state for name, state in told.items() if name in meant})
