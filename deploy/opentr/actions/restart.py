"""Restart services. Postgres is restarted behind a paused pool: its clients wait for a moment and see no error.

Where there is no pool they do see it, and connect anew.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from opentr.actions import build
from opentr.actions import environment as environments
from opentr.actions.services import refuse_absent
from opentr.actions.steps import Step
from opentr.errors.services import NothingRunning
from opentr.runtimes.base import INFRA
from opentr.server import pool, psql

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentr.actions.environment import Environment

POSTGRES = "postgres"


def steps(environment: Environment, services: Sequence[str]) -> list[Step]:
    """Restart these services, by default all that there are; what depends on others comes after them.

    In dev what has changed in the settings meanwhile is taken on. Raises PoolAbsent, VolumeVanished, NothingRunning.
    """
    refuse_absent(environment, services)
    environments.refuse_vanished(environment)
    wanted = services or [each.service for each in environment.runtime.services() if each.state != "missing"]
    if not wanted:
        raise NothingRunning(environment.settings.project, environment.name)
    groups = [
        [POSTGRES] if POSTGRES in wanted else [],
        [name for name in wanted if name in INFRA and name != POSTGRES],
        [name for name in wanted if name not in INFRA],
    ]
    first = [write_step(environment)] if environment.name == "dev" else []
    return first + [_step(environment, group) for group in groups if group]


def behind_pause(environment: Environment, change: Callable[[], None]) -> None:
    """Do something to Postgres while its clients wait; without a pool that works, just do it.

    Raises PoolNotPaused, with nothing changed, if transactions go on for too long.
    """
    healthy = {each.service for each in environment.runtime.services() if each.healthy}
    if not healthy >= {POSTGRES, pool.SERVICE}:
        change()
        return
    # The shutdown's own checkpoint, which clients wait for, has little left to write after this one.
    psql.execute(environment.runtime, "CHECKPOINT", psql.MAINTENANCE)
    with pool.paused(environment.runtime, pause_seconds(environment)):
        change()


def pause_seconds(environment: Environment) -> int:
    """How long clients may be made to wait: half of what they wait for a connection at most (design §7)."""
    return max(1, environment.settings.pgbouncer.query_wait_timeout // 2)


def write_step(environment: Environment) -> Step:
    """Render settings and secrets anew, for the images that are in use."""
    images = environments.prepared_images(environment)

    def write() -> None:
        environments.prepare(environment, images or build.images(environment))

    return Step("write the configuration", f"files below {environment.state.folder}", write)


def _step(environment: Environment, services: Sequence[str]) -> Step:
    runtime = environment.runtime
    how = f"{runtime.shown('stop', services)}\n{runtime.shown('up', services)}"
    restart = partial(_restart, environment, services)
    if POSTGRES in services and pool.is_there(runtime):
        paused = f"PAUSE opentranscribe\n{how}\nRESUME opentranscribe"
        return Step("restart postgres behind a paused pool", paused, partial(behind_pause, environment, restart))
    return Step(f"restart {', '.join(services)}", how, restart)


def _restart(environment: Environment, services: Sequence[str]) -> None:
    """Stop, then start: what has changed meanwhile is taken on, which Compose's own `restart` wouldn't do."""
    environment.runtime.stop(services)
    environment.runtime.up(services)
