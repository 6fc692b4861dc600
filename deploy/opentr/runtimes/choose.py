"""Which runtime an environment runs in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentr.containers import Engine
from opentr.errors import RuntimeRefused
from opentr.runtimes.compose import Compose

if TYPE_CHECKING:
    from opentr.runtimes.base import Runtime
    from opentr.settings import Settings
    from opentr.state import State


def choose(settings: Settings, state: State, wanted: str | None = None) -> Runtime:
    """The runtime of this name, by default the one that fits.

    Raises EngineMissing, EngineTooOld, and RuntimeRefused for one that there isn't.
    """
    if wanted not in {None, "compose"}:
        raise RuntimeRefused(str(wanted), "it is not part of this release yet")
    engine = Engine(settings.engine.host)
    return Compose(
        settings, state, engine, f"Docker {_short(engine.version())} at {engine.host.removeprefix('unix://')}"
    )


def _short(version: str) -> str:
    """Without what a distribution adds: 26.1.5+dfsg1 -> 26.1.5."""
    return version.partition("+")[0]
