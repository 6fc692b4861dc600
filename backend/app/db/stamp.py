"""`python -m app.db.stamp`: writes head's revision into a database that init_db.sql has made, if that is head's schema.

Where the SQL is ahead of the migrations the database stays without a revision, which is no failure: development goes
on, and the differences say what `db revision` has to catch up with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.db import catalog, chain, command, errors
from app.db.connect import describe, direct
from app.db.migrator import Budget, acting_role, migrate_under_budget
from app.db.report import Report

if TYPE_CHECKING:
    from argparse import Namespace

    from sqlalchemy import URL, Connection

    from app.db.catalog import Change


def parser() -> command.Parser:
    """The words that the verb takes."""
    words = command.parser("stamp", "Write head's revision into a database that init_db.sql made, if that is head's.")
    words.prog = "python -m app.db.stamp"
    return words


def act(args: Namespace) -> Report:
    """Stamps, or says what differs; exit code 0 both ways. Raises what `stamp` raises."""
    url = command.migrator_url(args)
    differences = [str(change) for change in stamp(url)]
    head = chain.head()
    data = {
        "database": describe(url),
        "stamped": not differences,
        "revision": None if differences else head.id,
        "differences": differences,
    }
    if not differences:
        return Report(data, [f"{describe(url)} is stamped: it is at {head}"])
    lines = [
        "init_db.sql is ahead of the migrations, so the database is left without a revision; it differs from head:"
    ]
    return Report(data, [*lines, *(f"  {line}" for line in differences), "type ./opentr.sh db revision -m ..."])


def stamp(url: URL) -> list[Change]:
    """Writes head's revision, under the migrators' lock; where the schema isn't head's, returns what differs.

    Raises `BadInput` for an empty database, `AlreadyStamped` for one that says another revision, `SchemaUnmatched` for
    one that says head and isn't; `NotPersisted` when a fresh connection sees no stamp.
    """
    head, changes = chain.head(), list[catalog.Change]()

    def step(connection: Connection) -> None:
        with connection.begin():
            changes[:] = _differences(connection)
            if not changes:
                chain.write(connection, head)

    migrate_under_budget(url, step, Budget(), command.note, role=acting_role(url))
    if not changes:
        with direct(url, "opentr stamp") as connection:
            seen = chain.stated_versions(connection)
        if seen != [head.id]:
            raise errors.NotPersisted(str(head), ", ".join(seen or []) or "none")
    return changes


def _differences(connection: Connection) -> list[Change]:
    head, stated = chain.head(), chain.stated_versions(connection)
    if not chain.has_tables(connection):
        raise errors.BadInput(
            "the database has none of our tables: there is nothing to stamp", "type ./opentr.sh reset"
        )
    if stated and stated != [head.id]:
        raise errors.AlreadyStamped(stated, str(head))
    changes = catalog.compare(catalog.required(head.id), catalog.read_catalog(connection))
    if stated and changes:
        raise errors.SchemaUnmatched(str(head), [str(change) for change in changes])
    return changes


if __name__ == "__main__":
    command.main(parser(), act)
