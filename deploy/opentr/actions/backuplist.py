"""What there is to go back to: production's backups, and the dumps of either environment."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from opentr import settings, state
from opentr.actions import backup as action
from opentr.actions import database, safety
from opentr.errors.backup import BackupUnknown, NoBackups
from opentr.errors.services import NothingRunning
from opentr.errors.state import StateOfAnother
from opentr.server import backups

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentr.actions.environment import Environment
    from opentr.actions.safety import Dump
    from opentr.server.backups import Backup, Repository


@dataclass(frozen=True)
class Saved:
    """All backups and dumps of an environment, oldest first."""

    environment: str
    repository: Repository | None
    """None in dev, which has dumps alone"""
    dumps: Sequence[Dump]

    @property
    def backups(self) -> tuple[Backup, ...]:
        """Those of the repository."""
        return self.repository.backups if self.repository else ()


def look(environment: Environment) -> Saved:
    """What there is. Raises NothingRunning, RepositoryVanished, RepositoryUnreadable."""
    repository = None
    if environment.name == "prod":
        action.require_repository(environment)
        repository = backups.look(environment.runtime)
    elif environment.state.read(database.RECORD) is None:
        raise NothingRunning(environment.settings.project, environment.name)
    return Saved(environment.name, repository, safety.saved(environment.state))


def find(saved: Saved, wanted: str) -> Backup | Dump:
    """The backup or dump of this ID, of which the beginning is enough; or the newest backup, in dev the newest dump.

    Raises NoBackups, BackupUnknown, BackupAmbiguous.
    """
    dumps = [each for each in saved.dumps if each.id == wanted] or [
        each for each in saved.dumps if wanted and each.id.startswith(wanted)
    ]
    if len(dumps) == 1 and not any(each.id.startswith(wanted) for each in saved.backups):
        return dumps[0]
    if saved.backups and wanted == action.NEWEST:
        return saved.backups[-1]  # to be looked at or proven, whatever it is worth
    if saved.backups:
        return action.find(saved.backups, wanted, saved.environment)
    if not saved.dumps:
        raise NoBackups(saved.environment)
    if wanted == action.NEWEST:
        return saved.dumps[-1]
    known = [each.id for each in reversed(saved.dumps)]
    nearest = get_close_matches(wanted, known, n=1)
    raise BackupUnknown(wanted, nearest[0] if nearest else None, known, saved.environment)


def details(environment: Environment, found: Backup) -> dict[str, Any] | None:
    """The manifest of a backup; None if it has none."""
    return backups.manifest(environment.runtime, found.label) if found.restore_point else None


def usual_environment() -> str:
    """Whose backups are meant where nobody says: prod's, unless prod was never started here."""
    tree = settings.read("prod")
    if not (state.folder(tree) / f"{database.RECORD}.json").exists():
        return "dev"
    try:
        state.opened(tree)
    except StateOfAnother:  # where OPENTR_PROJECT and OPENTR_STATE_DIR are the same for both
        return "dev"
    return "prod"
