"""`deploy prod`: another release in the place of the one that serves, and no acknowledged write is lost.

    preflight  all that would stop it halfway is looked for; nothing is touched
    roles      what the new release's roles may do is granted; the old one's rights stay
    backup     a physical backup
    prove      it is restored beside production, and compared
    migrate    the app's migrator, a revision a transaction; a revision tolerates the release before
    roll       the new images, data services first
    verify     the schema is head's, a request through the proxy reaches the new version

Whatever fails before `roll`: the release before has served all the time, and goes on; committed revisions stay.
Whatever fails from `roll` on: the images before are brought back, on the schema as it is. `rehearse` belongs between
prove and migrate.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from opentr import ui
from opentr.actions import backup, candidate, course, migration, preflight, releases, roll, safety
from opentr.actions.course import Course, Phase
from opentr.actions.steps import Step
from opentr.errors import OpentrError
from opentr.errors.deploy import NothingDeployed, PreflightFailed, RolledBack, RollStuck
from opentr.errors.services import ServiceUnhealthy
from opentr.server import backups, psql, tables
from opentr.server.generations import LIVE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentr.actions.candidate import Target
    from opentr.actions.environment import Environment
    from opentr.actions.releases import Release

_HOLD_SECONDS = 3600
"""A scheduled backup reads every table, and a migration would wait for it. After a kill the hold ends by itself."""
_LOCK_BUDGET = "SET lock_timeout = '2s';\n"
_AGAIN = {"deploy": "./opentr.sh deploy prod", "migrate": "./opentr.sh migrate prod"}


@dataclass
class Deploy:
    """One deploy, or with the release that serves as its own target, one migration."""

    environment: Environment
    target: Target
    course: Course
    archived: bool
    """the release that serves archives its WAL; one of before there were backups doesn't, and is dumped instead"""
    release: Release | None = None
    revisions: list[str] = field(default_factory=list)
    """those that were pending"""
    label: str | None = None
    """of the backup"""
    replaced: list[str] = field(default_factory=list)

    @property
    def before(self) -> Release:
        """The release that served when it began."""
        return self.course.before

    def phases(self) -> list[Phase]:
        """All of them, in their order."""
        saving = [
            Phase(course.BACKUP, "back up the database", _BACKUP_HOW, self._backup),
            Phase(course.PROVE, "prove the backup", _PROVE_HOW, self._prove),
        ]
        dumping = [Phase(course.BACKUP, "dump the database, and prove the dump", _DUMP_HOW, self._dump)]
        return [
            Phase(course.PREFLIGHT, "look for what would stop it halfway", self._preflight_how(), self._preflight),
            Phase(course.ROLES, "grant what the new release's roles need", "psql -f roles.sql", self._roles),
            *(saving if self.archived else dumping),
            Phase(course.MIGRATE, "bring the schema to the newest revision", self._migrate_how(), self._migrate),
            Phase(course.ROLL, f"bring up {self.target}", self._roll_how(), self._roll),
            Phase(course.VERIFY, "verify", _VERIFY_HOW, self._verify),
        ]

    # What the phases do; each returns what the journal is to know.

    def _preflight(self) -> dict[str, Any]:
        found = preflight.look(self.environment, self.target, archived=self.archived)
        if found.blockers:
            raise PreflightFailed(found.blockers, self._standing(), _AGAIN[self.course.way])
        assert found.release is not None  # noqa: S101 - it would be a blocker
        assert found.pending is not None  # noqa: S101 - likewise
        self.release, self.revisions = found.release, found.pending.revisions
        releases.store(self.environment, self.release)
        if changes := found.pending.row_changes:
            ui.note(f"the pending revisions change rows ({', '.join(changes)}): a rollback leaves these as they become")
        return {"release": self.release.id, "pending": self.revisions, "revision": found.pending.revision}

    def _roles(self) -> dict[str, Any]:
        release = self._candidate
        if not release.roles or release.roles == self.before.roles:
            return {"changed": False}
        psql.execute(self.environment.runtime, _LOCK_BUDGET + release.roles)
        return {"changed": True}

    def _backup(self) -> dict[str, Any]:
        assert self.course.operation is not None  # noqa: S101 - `run` begins it
        backups.hold_schedule(self.environment.runtime, _HOLD_SECONDS)
        taken = backup.take(self.environment, None, f"{self.course.way} {self.course.operation.id}")
        self.label = taken.label
        return {"label": taken.label, "type": taken.kind, "bytes": taken.repo_bytes}

    def _dump(self) -> dict[str, Any]:
        ui.note(f"{self.before} archives no WAL yet: a dump is made this time, and physical backups from here on")
        saved = safety.save(self.environment)
        return {"dump": saved.file, "bytes": saved.bytes}

    def _prove(self) -> dict[str, Any]:
        assert self.label is not None  # noqa: S101 - `_backup` comes before
        receipt = backup.prove(self.environment, self.label)
        return {"tables": receipt.tables, "rows": receipt.rows}

    def _migrate(self) -> dict[str, Any]:
        applied: list[str] = []
        if self.revisions:
            beside = self.environment.runtime.beside(candidate.PLACE)
            applied = migration.run(beside, self.environment.runtime, self.revisions, self._standing())
        return {"applied": applied, "revision": tables.revision(self.environment.runtime, LIVE)}

    def _roll(self) -> dict[str, Any]:
        self.replaced = roll.to(self.environment, self._candidate)
        return {"replaced": self.replaced}

    def _verify(self) -> dict[str, Any]:
        return verified(self.environment, self._candidate)

    def _standing(self) -> str:
        return course.standing(self.environment, self.before)

    @property
    def _candidate(self) -> Release:
        assert self.release is not None  # noqa: S101 - preflight comes first
        return self.release

    # What --plan says.

    def _preflight_how(self) -> str:
        lines = [_PREFLIGHT_HOW]
        lines += [f"{step.what}: {step.how}" for step in candidate.build_steps(self.environment, self.target)]
        return "\n".join(lines)

    def _migrate_how(self) -> str:
        return "\n".join(["docker compose run --rm migrate python -m app.db.migrate", *self._pending_lines()])

    def _pending_lines(self) -> list[str]:
        """The pending revisions as far as they are known without the candidate's image."""
        at = course.reached(self.environment)
        known = self.target.revisions
        if at is None or known is None:
            return ["which revisions are pending is decided then"]
        ids = [revision for revision, _, _ in known]
        if at and at not in ids:
            return [f"the database is at revision {at}, which this release doesn't have: preflight will say more"]
        pending = known[ids.index(at) + 1 :] if at else known
        if not pending:
            return [f"nothing is pending: the database is at revision {at}, this release's newest"]
        lines = [f"pending: {revision} ({subject})" for revision, _, subject in pending]
        return [*lines, f"read their SQL: ./opentr.sh db sql --from {at or 'base'}"]

    def _roll_how(self) -> str:
        images = _planned_images(self.environment, self.target)
        changed = [name for name, reference in images.items() if self.before.images.get(name) != reference]
        which = f"with another image: {', '.join(changed)}" if changed else "no image is another one"
        more = "; what else is replaced, by changed configuration, is decided then"
        return f"docker compose up --detach\n{which}{more}"


def revert(under_way: Course, release: str, error: OpentrError) -> NoReturn:
    """Bring the release before back, close the operation, and raise RolledBack, or RollStuck if it doesn't come back.

    Then the state describes the release before, and whatever the operator does next begins there.
    """
    before = under_way.before
    ui.note(f"{release} doesn't come up: {error.what}")
    try:
        bring_back(under_way)
    except OpentrError as again:
        under_way.close(course.FAILED, before, why=f"{error.what}; on the way back: {again.what}")
        raise RollStuck(release, error.what, str(before), again.what) from error
    under_way.close(course.REVERTED, before, why=error.what)
    log = error.log if isinstance(error, ServiceUnhealthy) else ()
    revision = course.reached(under_way.environment) or "unknown"
    raise RolledBack(release, error.what, str(before), revision, log) from error


def bring_back(under_way: Course) -> None:
    """The phase that brings the release before back; it may be begun again anywhere. Raises ServiceUnhealthy, ..."""
    environment, before = under_way.environment, under_way.before
    with under_way.phase(course.BACK, f"bring back {before}"):
        roll.to(environment, before)
        releases.make_current(environment, before)
        roll.smoke(environment, before)


def verified(environment: Environment, release: Release) -> dict[str, Any]:
    """Ask what is true now: the schema is that of head, and the proxy leads to this version.

    Raises ServiceUnhealthy.
    """
    beside = candidate.laid_ready(environment, release)
    revision, faults = migration.faults(beside)
    if faults:
        raise ServiceUnhealthy("the database", f"isn't as {release} needs it: {'; '.join(faults)}", (), "prod")
    return {"revision": revision} | roll.smoke(environment, release)


def prepared(
    environment: Environment,
    target: Target,
    way: str,
    tell: Callable[[Mapping[str, Any]], None] | None = None,
) -> Deploy:
    """A deploy that hasn't begun. Raises NothingDeployed."""
    before = releases.current(environment)
    if before is None:
        raise NothingDeployed(environment.settings.project)
    under_way = Course(environment, way, before, str(target))
    if tell:
        under_way.tell = tell
    return Deploy(environment, target, under_way, archived=backups.SERVICE in before.services)


def steps(deploy: Deploy) -> list[Step]:
    """What it would do, for --plan."""
    return [Step(each.what, each.how, lambda: None) for each in deploy.phases()]


def run(deploy: Deploy) -> None:
    """Do it. Raises PreflightFailed, BackupFailed, BackupUnproven, MigrationStopped, RolledBack, RollStuck, ..."""
    releases.adopt(deploy.environment)
    under_way = deploy.course

    def back(error: OpentrError) -> NoReturn:
        revert(under_way, str(deploy.release), error)

    try:
        under_way.run(deploy.phases(), back)
    finally:
        backups.hold_schedule(deploy.environment.runtime, 0)
    assert deploy.release is not None  # noqa: S101 - all phases are done
    course.serves(deploy.environment, deploy.release)
    under_way.close(course.DONE, deploy.release, backup=deploy.label, replaced=deploy.replaced)


def lines(deploy: Deploy) -> list[str]:
    """How it ended, for people."""
    release, under_way = deploy.release, deploy.course
    assert release is not None  # noqa: S101 - all phases are done
    revision = under_way.facts[course.VERIFY]["revision"]
    applied = deploy.revisions
    schema = f"revision {revision}" + (f", {len(applied)} new: {', '.join(applied)}" if applied else ", nothing new")
    saved = under_way.facts[course.BACKUP]
    told = {
        "serving": f"{release}" + (f", before: {deploy.before}" if release.id != deploy.before.id else ""),
        "database": schema,
        "backup": f"{saved.get('label') or saved.get('dump')}, proven",
        "replaced": ", ".join(deploy.replaced) or "nothing",
        "took": under_way.times,
    }
    return [f"{title:9} {text}" for title, text in told.items()]


def _planned_images(environment: Environment, target: Target) -> dict[str, str]:
    if target.tree:
        return candidate.planned_images(environment, target.tree)
    assert target.release is not None  # noqa: S101 - one of the two is there
    return target.release.images


_PREFLIGHT_HOW = """\
engine, Compose file, images (what isn't there is built), room on the disks, settings
database: its version, sessions that block, invalid indexes, slots, the archiving of WAL
pending revisions: their SQL against the rules, rows that they would refuse; nothing of it can be skipped"""
_BACKUP_HOW = "docker compose run --rm backup take_backup incr\nincremental where there is one to build on"
_PROVE_HOW = "docker compose run --rm proof prove_backup LABEL\nwithout a network, beside production"
_DUMP_HOW = "pg_dump --format=custom, restored beside: the release that serves archives no WAL yet"
_VERIFY_HOW = "python -m app.db.current: head, and its schema\nGET /health and /ready through the proxy"
