"""`./opentr.sh db sql`: the SQL that pending revisions would run, for reading, review and lint; nothing is run."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from app.db import chain, command, errors
from app.db.connect import direct
from app.db.report import Report

if TYPE_CHECKING:
    from argparse import Namespace

    from sqlalchemy import URL


def parser() -> command.Parser:
    """The words that the verb takes."""
    words = command.parser("sql", "Print the SQL of the pending revisions. Nothing is run.")
    words.add_argument(
        "--from",
        dest="start",
        metavar="REVISION",
        help="begin after this one, `base` or `head-1`; default: where the database stands",
    )
    words.add_argument("--to", metavar="REVISION", default="head", help="end with this one (default: head)")
    return words


def act(args: Namespace) -> Report:
    """Prints; only without --from a database is asked."""
    start = _before_head() if args.start == "head-1" else args.start or _position(command.migrator_url(args))
    for word in (start, args.to):
        if word not in ("base", "head") and chain.known(word) is None:
            raise errors.BadInput(f"there is no revision {word}", "type ./opentr.sh db history")
    text = upgrade_sql(start, args.to)
    return Report({"from": start, "to": args.to, "sql": text}, [text.strip() or "-- nothing is pending"])


def _before_head() -> str:
    everyone = chain.revisions()
    return everyone[-2].id if len(everyone) > 1 else "base"


def _position(url: URL) -> str:
    with direct(url, "opentr sql") as connection:
        current = chain.position(connection)
    return current.id if current else "base"


def upgrade_sql(start: str, end: str) -> str:
    """The SQL from one revision to another, each revision in its own transaction."""
    from alembic import command as alembic

    if start == (chain.head().id if end == "head" else end):
        return ""
    output = io.StringIO()
    made = chain.config()
    made.output_buffer = output
    alembic.upgrade(made, f"{start}:{end}", sql=True)
    return output.getvalue()


if __name__ == "__main__":
    command.main(parser(), act)
