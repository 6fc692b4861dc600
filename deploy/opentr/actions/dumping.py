"""`backup --logical`, and `backup` of dev: a dump of the live database, proven by restoring it beside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentr.actions import safety
from opentr.actions.steps import Step
from opentr.errors.backup import BackupFailed, BackupUnproven
from opentr.errors.data import DumpFailed
from opentr.server.generations import LIVE

if TYPE_CHECKING:
    from opentr.actions.environment import Environment
    from opentr.actions.safety import Dump


def steps(environment: Environment) -> list[Step]:
    """Dump and prove; for --plan."""
    return [Step("dump the database, and prove the dump", _HOW, lambda: _save_only(environment))]


def take(environment: Environment) -> Dump:
    """Dump the live database into the state's folder, and prove the dump.

    Raises NoRoom, ServiceNotRunning, and BackupFailed with no file left.
    """
    return _save(environment)


def prove(environment: Environment, dump: Dump) -> None:
    """Restore a dump that is there beside the live database, and compare. Raises LockHeld, NoRoom, BackupUnproven."""
    again = f"take a new one: ./opentr.sh backup {environment.name}{' --logical' if environment.name == 'prod' else ''}"
    try:
        with environment.state.locked("backup verify"):
            safety.prove_again(environment, dump)
    except DumpFailed as failure:
        raise BackupUnproven(dump.id, [failure.reason], again) from failure


def _save_only(environment: Environment) -> None:
    _save(environment)


def _save(environment: Environment) -> Dump:
    try:
        return safety.save(environment)
    except DumpFailed as failure:
        hint = f"mend what it names; the log tells more: ./opentr.sh logs {environment.name} postgres"
        raise BackupFailed(failure.what, hint) from failure


_HOW = f"""\
pg_dump --format=custom {LIVE}, in one snapshot, into <state>/{safety.FOLDER}
pg_restore --exit-on-error into {safety.PROOF}; count each table's rows in both; DROP DATABASE {safety.PROOF}"""
