"""The steps of a restore of production's cluster: fence, restore beside, swap, start, look; and the way back from each.

Nothing else than the journal and the volume says how far one has come: so a command that finds one cut short does the
rest, or takes back what was done.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from opentr import credentials
from opentr.actions import cluster, database, standing
from opentr.actions.steps import Step
from opentr.errors.restore import NothingReplaced
from opentr.runtimes.base import INFRA
from opentr.server import psql

if TYPE_CHECKING:
    from opentr.actions.environment import Environment
    from opentr.actions.standing import Standing

SWAP, LOOK = "swap it in", "look at what serves now"
"""The steps by which one that was cut short is judged."""
_FENCED = ("proxy", "api", "worker", "backup", "pgbouncer", "postgres")
_AT_WORK = frozenset({"running", "restarting", "paused"})


@dataclass
class Course:
    """What the steps find out."""

    swapping: bool = False
    """whether the swap was begun"""
    reached: dict[str, Any] = field(default_factory=dict)
    """what the restored cluster was recovered to"""
    standing: Standing | None = None


def steps(environment: Environment, wanted: str, title: str, course: Course) -> list[Step]:
    """Restore a backup by its label, or all that was archived (`latest`)."""
    runtime = environment.runtime

    def prepare() -> None:
        course.reached = cluster.prepare(runtime, wanted)

    def swap() -> None:
        course.swapping = True
        cluster.swap(runtime)

    def look() -> None:
        cluster.look(runtime)

    def back() -> None:
        take_back(environment, swapping=course.swapping)

    prove = f"restore {title} beside the live cluster, and prove it"
    return [
        _fence(environment),
        Step("see what is in the volume", "restore_cluster look", look, back),
        Step(prove, _PREPARE.format(wanted=wanted), prepare),
        Step(SWAP, _SWAP, swap),
        *later(environment, course),
    ]


def undo_steps(environment: Environment, course: Course) -> list[Step]:
    """Put back what the last restore replaced, and put aside what is live; again: forth."""

    def again() -> None:
        environment.runtime.stop(_FENCED)
        exchange(environment)

    return [
        _fence(environment),
        Step("see what can be put back", "restore_cluster look", partial(_require_other, environment)),
        Step(SWAP, _BACK, partial(exchange, environment), again),
        *later(environment, course),
    ]


def later(environment: Environment, course: Course) -> list[Step]:
    """What follows when the clusters have changed places; it may be begun again anywhere."""
    runtime = environment.runtime

    def look() -> None:
        course.standing = standing.look(environment)

    up = f"docker compose up --detach {' '.join(INFRA)}"
    return [
        Step(
            "start postgres",
            "docker compose up --detach postgres  -- recovers, then takes writes",
            partial(runtime.up, ["postgres"]),
        ),
        Step("give the database's roles their rights and passwords", _ROLES, partial(_give_rights, environment)),
        Step(f"start {', '.join(INFRA)}", up, partial(runtime.up, INFRA)),
        Step(LOOK, "python -m app.db.current", look),
    ]


def take_back(environment: Environment, *, swapping: bool) -> None:
    """Put the volume as it was before the restore, however far it came. Raises RestoreFailed."""
    runtime = environment.runtime
    runtime.stop(_FENCED)
    there = cluster.look(runtime)
    if swapping and there.replaced and not (there.live and there.restored):
        there = cluster.back(runtime)
    if there.restored and there.live:
        cluster.drop_restored(runtime)  # else it stays: in its place a start would make an empty cluster


def exchange(environment: Environment) -> None:
    """Have the live cluster and the one that was put aside change places; again: back. Raises NothingReplaced."""
    runtime = environment.runtime
    there = cluster.look(runtime)
    if there.replaced:
        cluster.back(runtime)
    elif there.live and there.restored:
        cluster.swap(runtime)
    else:
        raise NothingReplaced


def settle_exchange(environment: Environment, *, done: bool) -> None:
    """After an --undo that was cut short: undo it if it was done, or see to it that there is a live cluster."""
    environment.runtime.stop(_FENCED)
    there = cluster.look(environment.runtime)
    if done:
        exchange(environment)
    elif not there.live:
        cluster.back(environment.runtime)


def fenced(environment: Environment) -> list[str]:
    """The services at work that a restore stops."""
    at_work = {each.service for each in environment.runtime.services() if each.state in _AT_WORK}
    return [name for name in _FENCED if name in at_work]


def _fence(environment: Environment) -> Step:
    runtime = environment.runtime
    first = fenced(environment)

    def stop() -> None:
        if first:
            runtime.stop(first)

    def start_again() -> None:
        if first:
            runtime.up(first)

    what = f"stop {', '.join(first)}" if first else "nothing to stop"
    return Step(what, f"docker compose stop {' '.join(first)}", stop, start_again)


def _require_other(environment: Environment) -> None:
    there = cluster.look(environment.runtime)
    if not there.live or there.replaced == there.restored:
        raise NothingReplaced


def _give_rights(environment: Environment) -> None:
    """Roles as this release wants them, with the passwords of now: the cluster's own are those of its day."""
    runtime, secrets = environment.runtime, credentials.ensure(environment.state)
    psql.execute(runtime, database.roles(environment), psql.DATABASE)
    psql.execute(runtime, credentials.statements(secrets), psql.MAINTENANCE)
    credentials.applied(environment.state, secrets)


_PREPARE = """\
restore_cluster prepare {wanted}: pgbackrest restore into data.restored, beside the data
compare with the manifest where it is of one backup; pg_amcheck, pg_checksums"""
_SWAP = "restore_cluster swap: data becomes data.replaced, data.restored becomes data"
_BACK = "restore_cluster back: data becomes data.restored, data.replaced becomes data"
_ROLES = "psql -f roles.sql\nALTER ROLE ... PASSWORD ..."
