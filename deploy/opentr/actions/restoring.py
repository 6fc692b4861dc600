"""The steps of a restore of production's cluster: fence, restore beside, swap, start, look; and the way back from each.

Nothing else than the journal and the volume says how far one has come. Each cluster has an id, and which one is to take
which one's place is written down before they change places. So a command that finds one cut short sees by the id of the
live cluster whether they have, and does the rest; or takes back what was done, if that had begun already, or if they
haven't.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from opentr import credentials, journal, ui
from opentr.actions import cluster, database, mediastanding, standing
from opentr.actions.steps import Step
from opentr.errors import OpentrError
from opentr.errors.restore import NothingReplaced
from opentr.runtimes.base import INFRA
from opentr.server import psql

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentr.actions.cluster import Clusters
    from opentr.actions.environment import Environment
    from opentr.actions.standing import Standing
    from opentr.journal import Operation
    from opentr.server.media import Placed

SWAP, LOOK = "swap it in", "look at what serves now"
EXCHANGE = "which cluster takes which one's place"
"""Written down before the swap."""
_FENCED = ("proxy", "api", "worker", "backup", "pgbouncer", "postgres")
_AT_WORK = frozenset({"running", "restarting", "paused"})


@dataclass(frozen=True)
class Exchange:
    """Two clusters that change places, by their ids."""

    live: str
    """the one that is live before; empty if there is none"""
    incoming: str


@dataclass
class Course:
    """What the steps find out."""

    operation: Operation | None = None
    live: str | None = None
    """the id of the cluster that is live before; empty: there is none; None: nobody has looked yet"""
    incoming: str = ""
    """the id of the one that was prepared"""
    exchange: Exchange | None = None
    """once the swap was begun"""
    reached: dict[str, Any] = field(default_factory=dict)
    """what the restored cluster was recovered to"""
    standing: Standing | None = None
    media: Placed = "same"
    """whether the media files in use are those of the restored database"""


def steps(environment: Environment, wanted: str, title: str, course: Course) -> list[Step]:
    """Restore a backup by its label, or all that was archived (`latest`)."""
    runtime = environment.runtime

    def look() -> None:
        course.live = cluster.look(runtime).live

    def prepare() -> None:
        course.reached = cluster.prepare(runtime, wanted)
        course.incoming = course.reached.pop("id")

    def swap() -> None:
        _exchange(environment, course, Exchange(course.live or "", course.incoming))

    def back() -> None:
        take_back(environment, course.exchange, prepared=True)

    prove = f"restore {title} beside the live cluster, and prove it"
    return [
        _fence(environment, course),
        Step("see what is in the volume", "restore_cluster look", look),
        Step(prove, _PREPARE.format(wanted=wanted), prepare, back, halfway=True),
        Step(SWAP, _SWAP, swap),
        *later(environment, course),
    ]


def undo_steps(environment: Environment, course: Course) -> list[Step]:
    """Put back what the last restore replaced, and put aside what is live; again: forth."""

    def look() -> None:
        course.live = _require_other(environment).live

    def swap() -> None:
        there = _require_other(environment)
        _exchange(environment, course, Exchange(there.live, there.replaced))

    def back() -> None:
        take_back(environment, course.exchange, prepared=False)

    return [
        _fence(environment, course),
        Step("see what can be put back", "restore_cluster look", look),
        Step(SWAP, _BACK, swap, back, halfway=True),
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
        mediastanding.step(environment, partial(setattr, course, "media")),
    ]


def take_back(environment: Environment, exchange: Exchange | None, *, prepared: bool) -> Clusters:
    """Put the volume as it was before, however far it came; with `prepared` what was restored for it goes.

    What has served before stays, and what was restored where nothing was before. Returns what is there then. Raises
    ClusterFailed.
    """
    runtime = environment.runtime
    runtime.stop(_FENCED)
    there = cluster.look(runtime)
    if exchange and exchange.live and there.live != exchange.live:
        there = cluster.put(runtime, exchange.live)
    return cluster.drop(runtime, exchange.incoming if exchange else "") if prepared else there


def serve_again(environment: Environment, services: Sequence[str]) -> None:
    """Start what ran before, on what was there before: the data services, their media files, then the app.

    Raises ServiceUnhealthy.
    """
    data = [name for name in services if name in INFRA]
    app = [name for name in services if name not in INFRA]
    if data:
        environment.runtime.up(data)
        mediastanding.taken_back(environment)
    if app:
        environment.runtime.up(app)


def exchanged(operation: Operation) -> Exchange | None:
    """The clusters that were to change places; None if it hasn't come to that."""
    found = operation.found(EXCHANGE, journal.STARTED)
    return Exchange(found.data["live"], found.data["incoming"]) if found else None


def goes_on(operation: Operation, live: str) -> bool:
    """Whether one that was cut short is to be finished; else it is taken back. `live`: the id of the live cluster.

    Where nothing was live before there is nothing to go back to.
    """
    exchange = exchanged(operation)
    if exchange is None or live != exchange.incoming:
        return False
    return not exchange.live or not operation.has(journal.UNDOING)


def fenced(environment: Environment) -> list[str]:
    """The services at work that a restore stops."""
    at_work = {each.service for each in environment.runtime.services() if each.state in _AT_WORK}
    return [name for name in _FENCED if name in at_work]


def _fence(environment: Environment, course: Course) -> Step:
    runtime = environment.runtime
    first = fenced(environment)
    serving = any(each.service == "postgres" and each.healthy for each in runtime.services())

    def stop() -> None:
        if first:
            runtime.stop(first)

    def start_again() -> None:
        if not first or course.live == "":
            return
        try:
            serve_again(environment, first)
        except OpentrError as error:
            if serving:
                raise
            ui.note(f"what was there before doesn't serve, as it didn't then: {error.what}")

    what = f"stop {', '.join(first)}" if first else "nothing to stop"
    return Step(what, f"docker compose stop {' '.join(first)}", stop, start_again, halfway=True)


def _require_other(environment: Environment) -> Clusters:
    """What is in the volume. Raises NothingReplaced where nothing can be put back."""
    there = cluster.look(environment.runtime)
    if not there.live or not there.replaced:
        raise NothingReplaced
    return there


def _exchange(environment: Environment, course: Course, exchange: Exchange) -> None:
    if course.operation:
        course.operation.write(journal.STARTED, EXCHANGE, asdict(exchange))
    course.exchange = exchange
    cluster.put(environment.runtime, exchange.incoming)


def _give_rights(environment: Environment) -> None:
    """Roles as this release wants them, with the passwords of now: the cluster's own are those of its day."""
    runtime, secrets = environment.runtime, credentials.ensure(environment.state)
    psql.execute(runtime, database.roles(environment), psql.DATABASE)
    psql.execute(runtime, credentials.statements(secrets), psql.MAINTENANCE)
    credentials.applied(environment.state, secrets)


_PREPARE = """\
restore_cluster prepare {wanted}: pgbackrest restore into data.preparing, beside the data
compare with the manifest where it is of one backup; pg_amcheck, pg_checksums"""
_SWAP = "restore_cluster put ID: data becomes data.replaced, data.restored becomes data"
_BACK = "restore_cluster put ID: data and data.replaced change places"
_ROLES = "psql -f roles.sql\nALTER ROLE ... PASSWORD ..."
