"""`./opentr.sh db adopt`: takes over a database that OpenTranscribe made by its own SQL, or that lost its revision.

Its structure is compared with every revision's recorded catalog. On an exact match, one transaction gives it the roles,
moves every object to app_owner, grants, and stamps the revision. Anything else is refused with the exact differences.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import ProgrammingError

from app.db import catalog, chain, command, errors
from app.db.breaking import breaking_rows
from app.db.connect import INSUFFICIENT_PRIVILEGE, describe, direct
from app.db.migrator import OWNER, Budget, migrate_under_budget
from app.db.queries import ROLES, query
from app.db.report import Report

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from sqlalchemy import URL, Connection

    from app.db.chain import Revision

ROLE_NAMES = ("app_owner", "app_rw", "app_ro", "app_migrator", "app_monitor", "app_backup", "pgb_auth")


@dataclass(frozen=True)
class Adoption:
    """What a database is and what adopting it takes."""

    database: str
    user: str
    superuser: bool
    revision: Revision
    stated: Sequence[str] | None
    missing_roles: Sequence[str]
    prepared: bool
    """Whether roles.sql has been run in this database."""
    foreign: Sequence[tuple[str, str, str]]
    """Owner, kind and name of each object that isn't app_owner's."""
    breaking: Sequence[str]
    grants: Sequence[str]
    """Grants, as statements, that existing objects of app_owner lack."""
    others: Sequence[str]
    """Roles, neither ours nor an owner, that have been granted something."""

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        lacking = (*self.foreign, *self.missing_roles, *self.grants)
        return self.prepared and not lacking and self.stated == [self.revision.id]

    def steps(self) -> list[str]:
        """What would be done, in order."""
        owners = sorted({owner for owner, _, _ in self.foreign})
        found = [f"make the roles {', '.join(self.missing_roles)}"] if self.missing_roles else []
        found += [] if self.prepared else ["give the database its rights (database/roles.sql)"]
        found += (
            [f"move {len(self.foreign)} objects from {', '.join(owners)} to {OWNER}, and grant them to the roles"]
            if self.foreign
            else []
        )
        found += [f"make {len(self.grants)} grants that are missing"] if self.grants else []
        if self.stated != [self.revision.id]:
            found += [f"stamp revision {self.revision} in place of {', '.join(self.stated or []) or 'none'}"]
        return found

    def notes(self) -> list[str]:
        """What the user should know beside the steps."""
        pending = len(chain.after(self.revision))
        found = [f"then {pending} revisions are pending: ./opentr.sh db migrate"] if pending else []
        if self.breaking:
            found += [
                "rows that these would refuse; correct or delete them first:",
                *(f"  {line}" for line in self.breaking),
            ]
        if self.missing_roles:
            found += ["the new roles have no passwords: ALTER ROLE app_rw PASSWORD ..., and app_migrator, app_ro"]
        losing = sorted({owner for owner, _, _ in self.foreign} - {"postgres", self.user})
        if self.others:
            names = ", ".join(self.others)
            found += [
                f"what was granted to {names} stays, but PUBLIC's rights on database and schema end: grant those anew"
            ]
        found += [
            f"{owner} owns objects now and keeps no rights of its own: let the application log in as app_rw"
            for owner in losing
        ]
        return found


def parser() -> command.Parser:
    """The words that the verb takes."""
    words = command.parser("adopt", "Take over an existing OpenTranscribe database: roles, owner, grants, revision.")
    words.add_argument("--plan", action="store_true", help="say what would be done, and change nothing")
    words.add_argument("--yes", action="store_true", help="don't ask")
    return words


def act(args: Namespace) -> Report:
    """Adopts after a confirmation, or only says what it would do. Raises what `look` and `adopt` raise."""
    url = command.migrator_url(args)
    found = look(url)
    data = {
        "database": found.database,
        "revision": found.revision.id,
        "stated": list(found.stated or []),
        "steps": found.steps(),
        "breaking_rows": list(found.breaking),
        "adopted": found.done,
    }
    heading = f"{found.database} is exactly revision {found.revision}"
    if found.done:
        return Report(data, [f"{heading}, and already adopted", *found.notes()])
    if args.plan:
        return Report(data, [f"{heading}; adopting it would", *(f"  {step}" for step in found.steps()), *found.notes()])
    command.confirmed(args, f"change the owner of {len(found.foreign)} objects of {found.database}")
    adopt(url, found)
    return Report(
        data | {"adopted": True},
        [f"{heading}, and adopted", *(f"  did: {step}" for step in found.steps()), *found.notes()],
    )


def look(url: URL) -> Adoption:
    """Understands the database, changing nothing.

    Raises `SchemaUnmatched`, `DatabaseNewer`, `RightsMissing`, and `BadInput` for an empty database.
    """
    with direct(url, "opentr adopt") as connection:
        stated = chain.stated_versions(connection)
        revision = match(connection, stated)
        user, superuser = connection.exec_driver_sql(
            "SELECT current_user, (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)"
        ).one()
        present = set(connection.exec_driver_sql("SELECT rolname FROM pg_roles").scalars())
        found = Adoption(
            database=describe(url),
            user=user,
            superuser=superuser,
            revision=revision,
            stated=stated,
            missing_roles=[role for role in ROLE_NAMES if role not in present],
            prepared=OWNER in present and _is_prepared(connection),
            foreign=[(owner, kind, name) for owner, kind, name in _rows(connection, query("foreign_objects"))],
            breaking=breaking_rows(connection, chain.after(revision)) if chain.after(revision) else [],
            grants=[text for (text,) in _rows(connection, query("missing_grants"))] if OWNER in present else [],
            others=[name for (name,) in _rows(connection, query("other_grantees")) if name not in ROLE_NAMES],
        )
        strong = [name for (name,) in _rows(connection, query("strong_roles")) if name in ROLE_NAMES]
    if strong:
        raise errors.RoleTooStrong(strong)
    _require_rights(found)
    return found


def match(connection: Connection, stated: Sequence[str] | None) -> Revision:
    """The revision whose recorded catalog is exactly the database's. Raises as `look` does."""
    present = catalog.read_catalog(connection)
    if not present:
        raise errors.BadInput("the database is empty: there is nothing to adopt", "type ./opentr.sh db migrate")
    unknown = [version for version in stated or [] if chain.known(version) is None]
    release = chain.oldest_release(connection)
    if unknown and release:
        raise errors.DatabaseNewer(unknown[0], release)
    changes = {each: catalog.compare(_kept(each), present) for each in chain.revisions()}
    exact = [each for each in changes if not changes[each]]
    if not exact:
        nearest = min(reversed(changes), key=lambda each: len(changes[each]))
        raise errors.SchemaUnmatched(str(nearest), [str(change) for change in changes[nearest]])
    # Revisions that change rows alone share a catalog: what the database says counts, or nothing is skipped.
    return next((each for each in exact if each.id in (stated or [])), exact[0])


def _kept(revision: Revision) -> catalog.Catalog:
    return catalog.required(revision.id)


def _is_prepared(connection: Connection) -> bool:
    owner, grants, lookup = connection.exec_driver_sql(
        "SELECT pg_get_userbyid(datdba), EXISTS (SELECT FROM pg_default_acl a WHERE a.defaclrole = %(owner)s::regrole),"
        " EXISTS (SELECT FROM pg_proc WHERE proname = 'user_lookup' AND pronamespace = to_regnamespace('pgbouncer'))"
        " FROM pg_database WHERE datname = current_database()",
        {"owner": OWNER},
    ).one()
    return bool(owner == OWNER and grants and lookup)


def _require_rights(found: Adoption) -> None:
    if found.superuser or found.done:
        return
    hint = "connect as a superuser, or have one run database/roles.sql in it and GRANT app_owner TO your role"
    if found.missing_roles or not found.prepared:
        raise errors.RightsMissing(found.user, "make the roles and their rights", hint)
    others = sorted({owner for owner, _, _ in found.foreign} - {found.user})
    if others:
        raise errors.RightsMissing(found.user, f"give away what belongs to {', '.join(others)}", hint)


def adopt(url: URL, found: Adoption) -> None:
    """Does it, in one transaction under the migrator's lock and budget; all or nothing.

    Raises `RightsMissing`, `LockBudgetSpent`, `MigratorBusy`; `NotPersisted` when a fresh connection sees otherwise.
    """

    def step(connection: Connection) -> None:
        with connection.begin():
            if found.superuser:
                _run(connection, ROLES.read_text())
            _move(connection)
            chain.write(connection, found.revision)
            _move(connection)  # the table that says the revision may be new
            _verify(connection, found.revision)

    try:
        migrate_under_budget(url, step, Budget(), command.note)
    except errors.MigrationFailed as failure:
        cause = failure.__cause__
        if isinstance(cause, ProgrammingError) and getattr(cause.orig, "pgcode", None) == INSUFFICIENT_PRIVILEGE:
            hint = "connect as a superuser, or GRANT app_owner TO your role; nothing was changed"
            raise errors.RightsMissing(found.user, f"adopt it: {' '.join(str(cause.orig).split())}", hint) from failure
        raise
    with direct(url, "opentr adopt") as connection:
        seen = chain.position(connection)
    if seen != found.revision:
        raise errors.NotPersisted(str(found.revision), str(seen))


def _move(connection: Connection) -> None:
    for _, kind, name in _rows(connection, query("foreign_objects")):
        _run(connection, f"ALTER {kind} {name} OWNER TO {OWNER}")
    for (statement,) in _rows(connection, query("missing_grants")):
        _run(connection, statement)


def _verify(connection: Connection, revision: Revision) -> None:
    """Before the commit: the structure is still the revision's, everything is app_owner's, and no grant is missing."""
    changes = catalog.compare(_kept(revision), catalog.read_catalog(connection))
    left = [f"{kind} {name} of {owner}" for owner, kind, name in _rows(connection, query("foreign_objects"))]
    left += [statement for (statement,) in _rows(connection, query("missing_grants"))]
    if changes or left:
        raise errors.SchemaUnmatched(str(revision), [*map(str, changes), *left])


def _rows(connection: Connection, text: str) -> Sequence[Any]:
    return connection.exec_driver_sql(text, execution_options={"no_parameters": True}).all()


def _run(connection: Connection, text: str) -> None:
    connection.exec_driver_sql(text, execution_options={"no_parameters": True})


if __name__ == "__main__":
    command.main(parser(), act)
