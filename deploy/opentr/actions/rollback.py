"""`rollback prod`: the images and the configuration of the release before, on the schema as it is.

A revision names the oldest release that its schema tolerates: that decides. The schema itself never goes back, since
that would lose what was written since.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from opentr.actions import candidate, course, deploy, releases, roll
from opentr.actions.course import Course, Phase
from opentr.actions.steps import Step
from opentr.errors import OpentrError
from opentr.errors.deploy import NothingDeployed, RollbackRefused
from opentr.server import tables
from opentr.server.generations import LIVE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentr.actions.environment import Environment
    from opentr.actions.releases import Release

WAY = "rollback"


def target(environment: Environment) -> Release:
    """The release to go back to. Raises NothingDeployed, RollbackRefused with the reason."""
    now = releases.current(environment)
    if now is None:
        raise NothingDeployed(environment.settings.project)
    before = releases.previous(environment)
    if before is None:
        raise RollbackRefused("this is the first release here", "see which there were: ./opentr.sh deploy history")
    if gone := candidate.missing(environment, before):
        reason = f"the images of {before} aren't here any more ({', '.join(gone)})"
        raise RollbackRefused(reason, "build them again from its tag: ./opentr.sh deploy prod --to TAG")
    _refuse_schema(environment, now, before)
    return before


def _refuse_schema(environment: Environment, now: Release, before: Release) -> None:
    try:
        oldest = tables.oldest_release(environment.runtime, LIVE)
    except OpentrError as error:
        hint = "start it: ./opentr.sh start prod"
        raise RollbackRefused(f"what the schema tolerates can't be asked: {error.what}", hint) from error
    if oldest and releases.number(before.version) < releases.number(oldest):
        hint = "mend what is wrong with this release, and deploy it: ./opentr.sh deploy prod"
        reason = f"the schema needs release {oldest} or newer, and that one is {before.version} ({now} brought it)"
        raise RollbackRefused(reason, hint)
    if before.postgres_major and now.postgres_major and before.postgres_major != now.postgres_major:
        reason = f"its Postgres is {before.postgres_major}, and the data is {now.postgres_major}'s"
        raise RollbackRefused(reason, "restore a backup of that time: ./opentr.sh backup list")


def steps(environment: Environment) -> list[Step]:
    """What it would do, for --plan. Raises as `target`."""
    return [Step(each.what, each.how, lambda: None) for each in _phases(environment, target(environment), [])]


def run(environment: Environment, tell: Callable[[Mapping[str, Any]], None] | None = None) -> list[str]:
    """Go back; returns how it ended, for people. Raises as `target`, RolledBack, RollStuck."""
    before, release = releases.current(environment), target(environment)
    assert before is not None  # noqa: S101 - `target` has asked
    under_way = Course(environment, WAY, before, str(release), more={"release": release.id})
    if tell:
        under_way.tell = tell
    replaced: list[str] = []

    def back(error: OpentrError) -> NoReturn:
        deploy.revert(under_way, str(release), error)

    under_way.run(_phases(environment, release, replaced), back)
    course.serves(environment, release)
    under_way.close(course.DONE, release, replaced=replaced)
    revision = course.reached(environment)
    return [
        f"{'serving':9} {release}, before: {before}",
        f"{'database':9} revision {revision}, as it was: nothing that was written is lost",
        f"{'replaced':9} {', '.join(replaced) or 'nothing'}",
        f"{'took':9} {under_way.times}",
    ]


def _phases(environment: Environment, release: Release, replaced: list[str]) -> list[Phase]:
    def bring_up() -> dict[str, Any]:
        replaced.extend(roll.to(environment, release))
        return {"replaced": replaced}

    def verify() -> dict[str, Any]:
        return roll.smoke(environment, release)

    return [
        Phase(course.ROLL, f"bring up {release}", "docker compose up --detach", bring_up),
        Phase(course.VERIFY, "verify", "GET /health and /ready through the proxy", verify),
    ]
