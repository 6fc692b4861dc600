"""What a command finds of a deploy or a restore that was cut short: it is finished or reverted, and said which.

What is true after a kill, by the phase that had begun:

    preflight, roles   nothing that serves was touched (granted rights stay, and harm nobody)
    backup, prove      likewise; a half-made backup counts for nothing, pgBackRest clears it away with the next one
    migrate            the release before serves; revisions that were committed stay, an unfinished one is undone by
                       the server as soon as its session ends: that is waited for
    roll, verify       containers of both releases: rolled forward again, which leaves alone what is done; if the new
                       one doesn't come up, back to the one before
    back               on the way back: gone on with

One-off containers are dropped first, since nobody waits for them any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentr import journal, ui
from opentr.actions import course, deploy, history, migration, releases, restore, roll
from opentr.actions.course import Course
from opentr.errors import OpentrError
from opentr.errors.deploy import RolledBack, RollStuck
from opentr.errors.services import ServiceNotRunning
from opentr.server import backups

if TYPE_CHECKING:
    from opentr.actions.environment import Environment
    from opentr.actions.releases import Release
    from opentr.journal import Operation


def finish(environment: Environment) -> None:
    """End an operation that an earlier command began and didn't end; does nothing if there is none.

    What doesn't come up is told, and stands in nobody's way: the command that follows may be what mends it. Raises
    MigrationInProgress, and what a restore raises, where an operator must act first.
    """
    operation = journal.unfinished(environment.state)
    if operation is None:
        return
    if operation.kind == course.KIND:
        _finish_deploy(environment, operation)
        backups.hold_schedule(environment.runtime, 0)
    else:
        restore.finish(environment, operation)


def _finish_deploy(environment: Environment, operation: Operation) -> None:
    before = releases.find(environment.state, str(operation.begun.data["before"]))
    found = operation.found(course.PREFLIGHT)
    wanted = releases.find(environment.state, str(found.data["release"])) if found else None
    if operation.begun.data.get("way") == "rollback":
        wanted = releases.find(environment.state, str(operation.begun.data["release"]))
    if before is None:  # nothing was recorded yet, so nothing was touched
        operation.close(course.REVERTED, why="cut short")
        return
    under_way = Course(environment, str(operation.begun.data["way"]), before, str(operation.begun.data["to"]))
    under_way.operation = operation
    if operation.found(course.BACK, journal.STARTED):
        _back(under_way, operation)
    elif wanted and operation.found(course.ROLL, journal.STARTED):
        _forward(under_way, operation, wanted)
    else:
        _settle(environment, operation, before)


def _settle(environment: Environment, operation: Operation, before: Release) -> None:
    """Nothing of what serves was touched; see where a migration has come to, if one had begun."""
    what = history.described(operation)
    data = {}
    if operation.found(course.MIGRATE, journal.STARTED):
        try:
            with ui.step(f"end what is left of {what}"):
                data["revision"] = migration.settle(environment.runtime)
        except ServiceNotRunning:
            environment.runtime.drop_leftovers()  # its sessions have ended with the server
    else:
        environment.runtime.drop_leftovers()
    ended = course.ending(environment, before) | data | {"why": "cut short"}
    operation.close(course.REVERTED, **ended)
    at = f"the database is at revision {ended['revision']}" if ended["revision"] else "the database isn't running"
    ui.note(f"{what} is reverted: {course.standing(environment, before)}, {at}")


def _forward(under_way: Course, operation: Operation, wanted: Release) -> None:
    what, environment = history.described(operation), under_way.environment
    environment.runtime.drop_leftovers()
    ui.note(f"{what} is finished first")
    try:
        with under_way.phase(course.ROLL, f"bring up {wanted}"):
            roll.to(environment, wanted)
        with under_way.phase(course.VERIFY, "verify") as result:
            rolled_back = under_way.way == "rollback"  # to images that may know nothing of the schema's revision
            result.update(roll.smoke(environment, wanted) if rolled_back else deploy.verified(environment, wanted))
    except OpentrError as error:
        try:
            deploy.revert(under_way, str(wanted), error)
        except RolledBack as reverted:
            ui.note(f"{what} is reverted: {reverted.what}")
        except RollStuck as stuck:
            ui.note(f"{what} has failed: {stuck.what}")
        return
    course.serves(environment, wanted)
    under_way.close(course.DONE, wanted)
    ui.note(f"{what} is finished: {wanted} serves")


def _back(under_way: Course, operation: Operation) -> None:
    what, before = history.described(operation), under_way.before
    under_way.environment.runtime.drop_leftovers()
    try:
        deploy.bring_back(under_way)
    except OpentrError as error:
        under_way.close(course.FAILED, before, why=f"cut short; on the way back: {error.what}")
        ui.note(f"{what} has failed: {before} doesn't come back: {error.what}")
        return
    under_way.close(course.REVERTED, before, why="cut short")
    ui.note(f"{what} is reverted: {before} serves")
