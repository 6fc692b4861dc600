"""`./opentr.sh db revision -m ...`: writes the migration from head to what the models say now.

The models are compared with a scratch database that the chain has just built: against a database that was reset to the
new SQL, Alembic would write an empty migration. What the comparison can't see (functions, triggers, data) is listed, to
be written by hand; `--record` then keeps the finished revision's catalog.
"""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING, Any

from app.db import catalog, chain, check, command, errors
from app.db.connect import direct
from app.db.report import Report

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import URL


def parser() -> command.Parser:
    """The words that the verb takes."""
    words = command.parser(
        "revision", "Write the next migration: what the models have and the newest revision has not."
    )
    words.add_argument("-m", "--message", help="its subject, a few words")
    words.add_argument("--empty", action="store_true", help="write one without any change, to be filled by hand")
    words.add_argument(
        "--record", action="store_true", help="write none; run the newest and record the catalog that it makes"
    )
    return words


def act(args: Namespace) -> Report:
    """Writes the revision and its catalog, then says what is still to be done. Raises `BadInput`."""
    if bool(args.message) == args.record:
        raise errors.BadInput(
            "say what the revision does", "type ./opentr.sh db revision -m 'add a column for ...', or --record"
        )
    with check.scratch_databases(args.dsn) as make:
        with make() as url:
            written = None if args.record else write(url, args.message, empty=args.empty)
            kept = record_newest(url)
        missing = check.structure_differences(make, catalog.required(chain.head().id))
    newest = chain.head()
    paths = [str(path.relative_to(check.CHECKOUT)) for path in (written, kept) if path]
    lines = [f"written: {path}" for path in paths]
    lines += ["not in it yet:", *(f"  {difference}" for difference in missing)] if missing else []
    lines += [
        f"next: read {newest.path.name}, try it (./opentr.sh db check), and say `--record` whenever you have changed it"
    ]
    return Report({"revision": newest.id, "written": paths, "missing": [vars(each) for each in missing]}, lines)


def write(url: URL, message: str, *, empty: bool) -> Path:
    """Builds the chain in the database at `url`, and writes the next revision; returns its file.

    Raises `BadInput` when there is nothing to write.
    """
    from alembic import command as alembic

    _to_head(url)
    made = alembic.revision(_quiet(url, autogenerate=not empty), message, autogenerate=not empty)
    if made is None or isinstance(made, list):
        raise errors.BadInput(
            "the models have nothing that the newest revision hasn't",
            "change them first, or add --empty for one to fill by hand",
        )
    chain.forget()
    return chain.head().path


def record_newest(url: URL) -> Path:
    """Runs the chain to its head and records the catalog of the newest revision; those below stay as they are."""
    _to_head(url)
    with direct(url, "opentr revision") as connection:
        return catalog.record(chain.head().id, catalog.read_catalog(connection))


def _to_head(url: URL) -> None:
    from alembic import command as alembic

    alembic.upgrade(_quiet(url), "head")


def _quiet(url: URL, **attributes: Any) -> Any:  # noqa: ANN401 - Alembic's Config, imported where it is needed
    made = chain.config(url, proven=False, say=lambda _line: None, **attributes)
    made.cmd_opts = Namespace(quiet=True)  # Alembic's own words about what it writes; ours say the same
    return made


if __name__ == "__main__":
    command.main(parser(), act)
