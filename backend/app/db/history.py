"""`./opentr.sh db history`: every revision, oldest first, and where the database stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.db import chain, command, errors
from app.db.connect import direct
from app.db.report import Report, Table

if TYPE_CHECKING:
    from argparse import Namespace

    from sqlalchemy import URL


def parser() -> command.Parser:
    """The words that the verb takes."""
    return command.parser(
        "history", "List the revisions, oldest first; with a database in reach also which it has had."
    )


def act(args: Namespace) -> Report:
    """Lists them; a database that can't be asked is a note, unless --dsn named it."""
    try:
        current, note = _position(command.migrator_url(args)), ""
    except errors.DbError as error:
        if args.dsn is not None:
            raise
        current, note = None, f"which of them the database has had isn't known: {error.what}"
    pending = {revision.id for revision in chain.after(current)}
    rows = [
        (each.id, each.subject, each.oldest_release, "" if note else "pending" if each.id in pending else "applied")
        for each in chain.revisions()
    ]
    columns = ("revision", "subject", "oldest_release", "state")
    data = {"revisions": [dict(zip(columns, row, strict=True)) for row in rows], "note": note or None}
    return Report(data, [Table("", [name.replace("_", " ") for name in columns], rows), *([note] if note else [])])


def _position(url: URL) -> chain.Revision | None:
    with direct(url, "opentr history") as connection:
        return chain.position(connection)


if __name__ == "__main__":
    command.main(parser(), act)
