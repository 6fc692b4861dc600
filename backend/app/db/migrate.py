"""`./opentr.sh db migrate`: the pending migrations, after a look at the rows that they would refuse.

It runs Alembic through env.py, so locks, budgets and the final look are the same as with plain `alembic upgrade head`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.db import chain, command, errors
from app.db.breaking import breaking_rows
from app.db.connect import direct
from app.db.report import Report, Table

if TYPE_CHECKING:
    from argparse import Namespace

    from sqlalchemy import URL

    from app.db.chain import Revision
    from app.db.migrator import Budget


def parser() -> command.Parser:
    """The words that the verb takes."""
    words = command.parser("migrate", "Run the pending migrations, or go to another revision.")
    words.add_argument("--to", metavar="REVISION", default="head", help="stop at this revision (default: head)")
    words.add_argument("--plan", action="store_true", help="say what would be done, and change nothing")
    return words


def act(args: Namespace) -> Report:
    """Migrates, or says what it would do. Raises what `migrate` and `chain.position` raise."""
    url = command.migrator_url(args)
    target = _revision(args.to)
    pending = pending_revisions(url, target)
    if args.plan:
        return _plan(pending, blocked=blockers(url, pending))
    migrate(url, target)
    done = [str(revision) for revision in pending]
    return Report({"revision": target.id, "applied": [revision.id for revision in pending]}, [_summary(target, done)])


def _revision(word: str) -> Revision:
    found = chain.head() if word == "head" else chain.known(word)
    if found is None:
        raise errors.BadInput(f"there is no revision {word}", "type ./opentr.sh db history")
    return found


def pending_revisions(url: URL, target: Revision) -> list[Revision]:
    """The revisions between the database and `target`. Raises `BadInput` when the database is already past it."""
    with direct(url, "opentr migrate") as connection:
        current = chain.position(connection)
    everyone = chain.revisions()
    if current and everyone.index(current) > everyone.index(target):
        raise errors.BadInput(
            f"the database is at {current}, after {target}",
            "going back is plain Alembic: cd backend && alembic downgrade ...",
        )
    return list(everyone[len(everyone) - len(chain.after(current)) : everyone.index(target) + 1])


def blockers(url: URL, pending: list[Revision]) -> list[str]:
    """Rows that a pending revision would refuse, a line each kind."""
    with direct(url, "opentr migrate") as connection:
        return breaking_rows(connection, pending) if pending and chain.has_tables(connection) else []


def migrate(url: URL, target: Revision, budget: Budget | None = None) -> None:
    """Upgrades the database to `target`. Raises `RowsBreak` before it begins, later what env.py raises."""
    from alembic import command as alembic

    found = blockers(url, pending_revisions(url, target))
    if found:
        raise errors.RowsBreak(found)
    alembic.upgrade(chain.config(url, say=command.note, budget=budget), target.id)


def _summary(target: Revision, done: list[str]) -> str:
    return f"the database is at {target}" + (f"; {len(done)} revisions applied" if done else "; nothing was pending")


def _plan(pending: list[Revision], blocked: list[str]) -> Report:
    rows = [(revision.id, revision.subject, revision.oldest_release) for revision in pending]
    parts: list[str | Table] = [Table("Pending revisions", ("revision", "subject", "oldest release"), rows)]
    parts = parts if rows else ["nothing is pending"]
    if blocked:
        parts += ["Rows that they would refuse; correct or delete these first:", *(f"  {line}" for line in blocked)]
    data = {"pending": [revision.id for revision in pending], "breaking_rows": blocked}
    return Report(data, parts, errors.RowsBreak.exit_code if blocked else 0)


if __name__ == "__main__":
    command.main(parser(), act)
