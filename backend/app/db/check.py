"""`./opentr.sh db check`: proves on scratch databases that the four views of the schema agree.

The recorded catalog of head is the hub. Each revision must make, upwards and downwards, the catalog that is recorded
for it; init_db.sql and the models must make head's. What a catalog leaves out (owners, grants, comments, default rows)
is compared between SQL and migrations directly. The Pydantic schemas are held against the models' columns.
"""

from __future__ import annotations

import inspect
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from app.db import catalog, chain, command, errors, scratch
from app.db.catalog import Catalog, Change, Difference, one_line
from app.db.connect import direct, direct_engine, parse_url
from app.db.queries import INIT_DB, query
from app.db.report import Report

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from sqlalchemy import URL, Connection

    from app.db.chain import Revision

CHECKOUT = Path(__file__).resolve().parents[3]
SQL_FILE = "database/init_db.sql"
VERSIONS = "backend/alembic/versions"
MODELS = "backend/app/models"
MODELLED = ("table ", "column ", "constraint ", "index ", "sequence ")
"""The kinds of objects that models describe; functions and triggers are the SQL's and the migrations' alone."""


def parser() -> command.Parser:
    """The words that the verb takes."""
    return command.parser(
        "check",
        "Prove that init_db.sql, the migrations, the models and the schemas describe one schema. It works on scratch "
        "databases: on a server of its own, or with --dsn on that server, whose other databases aren't touched.",
    )


def act(args: Namespace) -> Report:
    """Compares; exit code 0 only when all agree."""
    with scratch_databases(args.dsn) as make:
        found = differences(make)
    data = {"agree": not found, "differences": [vars(difference) for difference in found]}
    if not found:
        return Report(data, [f"the four views agree, at {chain.head()}"])
    count = f"{len(found)} difference{'s' if len(found) > 1 else ''}"
    return Report(data, [*map(str, found), "", f"{count}; each line begins with the file to change"], exit_code=1)


@contextmanager
def scratch_databases(dsn: str | None) -> Iterator[Callable[[], AbstractContextManager[URL]]]:
    """A maker of empty databases with roles and grants, on the server of `dsn` or on a scratch server of its own.

    Raises `BadInput` for a server without our roles (making them there is not a check's business), `RightsMissing`.
    """
    with ExitStack() as stack:
        if dsn is not None:
            server = parse_url(dsn)
            _may_make_databases(server)
        else:
            server = stack.enter_context(scratch.scratch_server())
        yield lambda: _prepared(server)


def _may_make_databases(server: URL) -> None:
    with direct(server, "opentr check") as connection:
        user, superuser, roles = connection.exec_driver_sql(
            "SELECT current_user, (SELECT rolsuper FROM pg_roles WHERE rolname = current_user),"
            " EXISTS (SELECT FROM pg_roles WHERE rolname = 'app_owner')"
        ).one()
    if not superuser:
        hint = "connect as a superuser, or leave --dsn away: then a scratch server is used"
        raise errors.RightsMissing(user, "make scratch databases with all grants: it is no superuser", hint)
    if not roles:
        raise errors.BadInput(
            "that server hasn't our roles, and a check makes none there",
            "leave --dsn away: then a scratch server is used",
        )


@contextmanager
def _prepared(server: URL) -> Iterator[URL]:
    with scratch.scratch_database(server) as url:
        scratch.prepare(url)
        yield url


def differences(make: Callable[[], AbstractContextManager[URL]]) -> list[Difference]:
    """Everything that doesn't agree, worded; empty when all does.

    The schemas are held against the models; about a column that a model has wrong they aren't asked.
    """
    from app.db.fields import schema_differences

    with make() as by_chain:
        found = list(climb(by_chain))
        if any(difference.subject == "upgrade" for difference in found):
            return found
        found += structure_differences(make, catalog.recorded(chain.head().id) or _catalog_at(by_chain))
        found += surrounding_differences(make, by_chain)
        found += list(descend(by_chain, {difference.subject for difference in found}))
    wrong_models = {found_one.subject.rpartition(".")[2] for found_one in found if found_one.file.startswith(MODELS)}
    return found + [each for each in schema_differences() if each.subject.rpartition(".")[2] not in wrong_models]


def climb(url: URL) -> Iterator[Difference]:
    """Runs revision by revision, each result against its recorded catalog; a fault is told once, where it begins."""
    told: set[str] = set()
    for revision in chain.revisions():
        try:
            _alembic(url, "upgrade", revision.id)
        except errors.DbError as error:
            yield Difference(_file_of(revision), "upgrade", one_line(error.what))
            return
        yield from _against_record(revision, _catalog_at(url), told)


def descend(url: URL, told: set[str]) -> Iterator[Difference]:
    """Goes back revision by revision; each downgrade must leave what is recorded for the revision below."""
    everyone = chain.revisions()
    for above, below in zip(reversed(everyone), [*reversed(everyone[:-1]), None], strict=True):
        try:
            _alembic(url, "downgrade", below.id if below else "base")
        except errors.DbError as error:
            yield Difference(_file_of(above), "downgrade", one_line(error.what))
            return
        kept = catalog.recorded(below.id) if below else {}
        for change in [] if kept is None else catalog.compare(kept, _catalog_at(url)):
            if change.subject not in told:
                told.add(change.subject)
                yield Difference(
                    _file_of(above), change.subject, f"after its downgrade {_told(change, 'the revision below')}"
                )


def _against_record(revision: Revision, found: Catalog, told: set[str]) -> Iterator[Difference]:
    kept = catalog.recorded(revision.id)
    record = f"backend/alembic/catalogs/{revision.id}.json"
    if kept is None:
        yield Difference(
            record, f"revision {revision.id}", "its catalog isn't recorded; type ./opentr.sh db revision --record"
        )
        return
    for change in catalog.compare(kept, found):
        if change.subject not in told:
            told.add(change.subject)
            yield Difference(_file_of(revision), change.subject, _told(change, record))


def _told(change: Change, by: str) -> str:
    if change.found is None:
        return f"it isn't made; {by} has: {one_line(change.expected)}"
    if change.expected is None:
        return f"it is made as: {one_line(change.found)}; {by} doesn't have it"
    return f"it is made as: {one_line(change.found)}; {by} has: {one_line(change.expected)}"


def structure_differences(make: Callable[[], AbstractContextManager[URL]], head: Catalog) -> list[Difference]:
    """What init_db.sql and the models make, against `head`, the catalog of the newest revision.

    Where these two agree against it, it is a revision that is missing.
    """
    modelled = {subject: text for subject, text in head.items() if subject.startswith(MODELLED)}
    with make() as by_sql:
        broken = _load_sql(by_sql)
        sql = {} if broken else {change.subject: change for change in catalog.compare(head, _catalog_at(by_sql))}
    with make() as by_models:
        models = {change.subject: change for change in catalog.compare(modelled, _models_catalog(by_models))}
    both = {subject for subject in sql.keys() & models.keys() if sql[subject] == models[subject]}
    found = [Difference(VERSIONS, subject, _ahead(sql[subject])) for subject in sorted(both)]
    found += [
        Difference(SQL_FILE, subject, _told(change, "head")) for subject, change in sql.items() if subject not in both
    ]
    found += [
        Difference(model_file(change), subject, _told(change, "head"))
        for subject, change in models.items()
        if subject not in both
    ]
    return [*broken, *found]


def _ahead(change: Change) -> str:
    now = f"is {one_line(change.found)}" if change.found else "is gone"
    before = f"head has: {one_line(change.expected)}" if change.expected else "no revision makes it"
    return f"in init_db.sql and the models it {now}; {before}; type ./opentr.sh db revision -m ..."


def _load_sql(url: URL) -> list[Difference]:
    try:
        scratch.execute_file(url, INIT_DB, "app_owner")
    except Exception as error:  # psycopg2's errors, whose text is the server's
        diagnosis = getattr(error, "diag", None)
        if diagnosis is None:
            raise
        before = INIT_DB.read_text()[: int(diagnosis.statement_position or 0)]
        return [Difference(SQL_FILE, f"line {before.count(chr(10)) + 1}", one_line(diagnosis.message_primary))]
    return []


def _models_catalog(url: URL) -> Catalog:
    import app.models  # noqa: F401 - registers every table
    from app.db.base import Base

    engine = direct_engine(url, application_name="opentr check")
    try:
        Base.metadata.create_all(engine)
    finally:
        engine.dispose()
    return {subject: text for subject, text in _catalog_at(url).items() if subject.startswith(MODELLED)}


def model_file(change: Change) -> str:
    """The file of the model that a change is about; the folder where no model is."""
    from app.db.base import Base

    text = f"{change.expected or ''} {change.found or ''}"
    for mapper in Base.registry.mappers:
        table = str(mapper.local_table.name)  # type: ignore[attr-defined]
        place = change.subject.partition(" ")[2]
        if (
            place.partition(".")[0] == table
            or f" ON public.{catalog.quoted(table)} " in text
            or f"owned by {table}." in text
        ):
            return str(Path(inspect.getfile(mapper.class_)).resolve().relative_to(CHECKOUT))
    return MODELS


def surrounding_differences(make: Callable[[], AbstractContextManager[URL]], by_chain: URL) -> list[Difference]:
    """Owners, grants, comments and default rows: init_db.sql against the migrations, for what both have."""
    with make() as by_sql:
        if _load_sql(by_sql):
            return []
        with direct(by_sql, "opentr check") as sql, direct(by_chain, "opentr check") as migrations:
            common = catalog.read_catalog(sql).keys() & catalog.read_catalog(migrations).keys()
            changes = [
                change
                for change in catalog.compare(_surroundings(migrations, common), _surroundings(sql, common))
                if _belongs(change.subject, common)
            ]
    return [
        Difference(SQL_FILE, change.subject, _told(change, f"{VERSIONS} (change one of the two)")) for change in changes
    ]


def _belongs(subject: str, common: set[str]) -> bool:
    what = subject.split(" ", 2)[2] if subject.startswith(("grant on", "comment on", "owner of")) else subject
    return what.partition(" to ")[0] in common or subject.startswith("row of ")


def _surroundings(connection: Connection, common: set[str]) -> Catalog:
    rows: Catalog = {}
    for subject in sorted(common):
        kind, _, table = subject.partition(" ")
        if kind == "table":
            text = query("default_rows").replace("{table}", catalog.quoted(table))
            found = connection.exec_driver_sql(text, execution_options={"no_parameters": True}).scalars()
            rows |= {f"row of {table}: {row}": row for row in found}
    return catalog.read_surroundings(connection) | rows


def _catalog_at(url: URL) -> Catalog:
    with direct(url, "opentr check") as connection:
        return catalog.read_catalog(connection)


def _alembic(url: URL, verb: str, target: str) -> None:
    from alembic import command as alembic

    getattr(alembic, verb)(chain.config(url, proven=False, say=lambda _line: None), target)


def _file_of(revision: Revision) -> str:
    return f"{VERSIONS}/{revision.path.name}"


if __name__ == "__main__":
    command.main(parser(), act)
