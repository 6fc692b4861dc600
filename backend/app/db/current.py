"""`./opentr.sh db current`: the database's revision, what is pending, and whether its schema has drifted from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.db import catalog, chain, command, errors
from app.db.connect import describe, direct
from app.db.report import Report

if TYPE_CHECKING:
    from argparse import Namespace


def parser() -> command.Parser:
    """The words that the verb takes."""
    return command.parser(
        "current", "Show the database's revision, what is pending, and whether its schema has drifted."
    )


def act(args: Namespace) -> Report:
    """Exit code 0 when the schema is exactly its revision's, 4 when it isn't. Raises what `chain.position` raises."""
    url = command.migrator_url(args)
    with direct(url, "opentr current") as connection:
        revision = chain.position(connection)
        kept = catalog.required(revision.id) if revision else {}
        drift = [str(change) for change in catalog.compare(kept, catalog.read_catalog(connection))]
        release = chain.oldest_release(connection)
    pending = chain.after(revision)
    data = {
        "database": describe(url),
        "revision": revision.id if revision else None,
        "head": chain.head().id,
        "pending": [each.id for each in pending],
        "oldest_release": release,
        "drift": drift,
    }
    waiting = f"{len(pending)} pending: {', '.join(map(str, pending))}" if pending else "nothing pending"
    lines = [f"{describe(url)} is at {revision or 'no revision: it is empty'}; {waiting}"]
    lines += ["the schema isn't what that revision makes:", *(f"  {line}" for line in drift)] if drift else []
    return Report(data, lines, errors.SchemaUnmatched.exit_code if drift else 0)


if __name__ == "__main__":
    command.main(parser(), act)
