"""Alembic's environment. The care that a live database needs is in app.db.migrator; this file ties the two together.

It runs for the `alembic` command and for our own verbs. These hand it, in the configuration's attributes: `url`,
`budget` and `say` (where progress goes).
"""

from __future__ import annotations

import time
from logging.config import fileConfig
from typing import TYPE_CHECKING, Any

from alembic import command, context
from alembic.util import CommandError
from sqlalchemy import Column, Index

import app.models  # noqa: F401 - registers every table on Base
from app.core.config import settings
from app.db import catalog, chain, errors
from app.db.base import Base
from app.db.command import note
from app.db.connect import direct, parse_url
from app.db.migrator import APPLICATION, OWNER, Budget, acting_role, migrate_under_budget, reached

if TYPE_CHECKING:
    from collections.abc import Callable

    from alembic.operations import MigrationScript
    from alembic.runtime.migration import MigrationContext, MigrationInfo
    from sqlalchemy import URL, Connection

config = context.config
url: URL = config.attributes.get("url") or parse_url(settings.MIGRATOR_DATABASE_URL)
say = config.attributes.get("say", note)
typed = getattr(config.cmd_opts, "cmd", (None,))[0]
"""The function behind the `alembic` command that somebody typed; None when our own code runs this."""


def run_offline() -> None:
    """Prints the SQL (`alembic upgrade --sql`)."""
    context.configure(url=url, literal_binds=True, transaction_per_migration=True, on_version_apply=record_release)
    context.execute("SET search_path = public")
    context.execute(f"SET lock_timeout = '{settings.LOCK_TIMEOUT_MS}ms'")
    context.execute(f"SET statement_timeout = '{settings.MIGRATION_STATEMENT_TIMEOUT_MS}ms'")
    context.execute(f"SET ROLE {OWNER}")
    with context.begin_transaction():
        context.run_migrations()


def run_online() -> None:
    """Runs the command under the migrator's lock and budget; a fresh connection says whether it is really there."""
    proven = config.attributes.get("proven", typed not in (command.stamp, command.current))
    with direct(url, APPLICATION) as connection:
        if typed is not command.stamp:
            chain.position(connection)
    budget = config.attributes.get("budget") or Budget(
        settings.LOCK_TIMEOUT_MS, settings.MIGRATION_STATEMENT_TIMEOUT_MS
    )
    expected: str | None = None
    began = time.monotonic()

    def remember(*, step: MigrationInfo, heads: set[str], **_: Any) -> None:  # noqa: ANN401
        nonlocal expected, began
        expected, since, began = ", ".join(heads) or "none", began, time.monotonic()
        at = chain.known(expected) or "an empty database"
        say(f"{'to' if step.is_upgrade else 'back to'} {at} in {began - since:.1f} s")

    def step(connection: Connection) -> None:
        if proven:
            refuse_drift()  # here, because nobody else migrates now
        configure(connection, remember)
        with context.begin_transaction():
            context.run_migrations()

    if typed is command.current:
        with direct(url, APPLICATION) as connection:
            step(connection)
        return
    migrate_under_budget(url, step, budget, say, role=acting_role(url))
    if expected is None:
        return
    if (found := reached(url)) != expected:
        raise errors.NotPersisted(expected, found)
    if proven and (at := chain.known(expected)):
        with direct(url, APPLICATION) as connection:
            drift = catalog.compare(catalog.required(at.id), catalog.read_catalog(connection))
        if drift:
            raise errors.SchemaUnproven(str(at), [str(change) for change in drift])


def refuse_drift() -> None:
    """Raises `SchemaUnmatched` where the schema isn't that of its revision: what follows was written for that one.

    Indexes that the revisions beside it build or drop don't count: those are what a run that was cut off leaves.
    """
    with direct(url, APPLICATION) as connection:
        at, present = chain.position(connection), catalog.read_catalog(connection)
    if at is None:
        return
    kept, everyone = catalog.required(at.id), chain.revisions()
    place = everyone.index(at)
    beside = [catalog.recorded(each.id) or {} for each in everyone[max(place - 1, 0) : place + 2]]
    unfinished = {name for each in beside for name in each.keys() ^ kept.keys() if name.startswith("index ")}
    changes = catalog.compare(kept, present)
    if drift := [str(change) for change in changes if change.subject not in unfinished]:
        raise errors.SchemaUnmatched(str(at), drift)


def configure(connection: Connection, remember: Callable[..., None]) -> None:
    """Tells Alembic how we migrate; `remember` hears of each revision that is reached."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        transaction_per_migration=True,
        compare_server_default=True,
        on_version_apply=[record_release, remember],
        include_object=comparable,
        process_revision_directives=prepare_revision,
        template_args={"oldest_release": chain.head().oldest_release},
    )


def record_release(*, ctx: MigrationContext, heads: set[str], **_: Any) -> None:  # noqa: ANN401
    """Keeps the row of schema_release at the reached revision's `oldest_release`, in the revision's own transaction."""
    revision = chain.known(next(iter(heads), ""))
    if revision and chain.records_release(revision):
        ctx.execute(f"UPDATE schema_release SET oldest_release = '{revision.oldest_release}'")


def comparable(found: object, _name: object, kind: str, _reflected: object, wanted: object) -> bool:
    """Leaves out expression indexes that are there: Alembic compares their text, which the server words differently.

    `db check` compares what the server makes of both, and `db revision` lists what differs.
    """
    pair = (found, wanted)
    return not (kind == "index" and all(isinstance(each, Index) and _has_expression(each) for each in pair))


def _has_expression(index: Index) -> bool:
    return any(not isinstance(part, Column) for part in index.expressions)


def prepare_revision(ctx: MigrationContext, _revision: object, directives: list[MigrationScript]) -> None:
    """Numbers a new revision; refuses to compare the models with anything but the schema that head makes."""
    stands_at = chain.head()
    if ctx.connection is not None and config.attributes.get(
        "autogenerate", getattr(config.cmd_opts, "autogenerate", False)
    ):
        found = chain.position(ctx.connection)
        kept = catalog.recorded(found.id) if found else {}
        changes = catalog.compare(kept or {}, catalog.read_catalog(ctx.connection))
        if changes or found != stands_at:
            raise errors.SchemaUnmatched(
                found.id if found else "an empty database", [str(change) for change in changes]
            )
    directives[0].rev_id = f"{int(stands_at.id) + 1:04d}"
    if typed is None and config.attributes.get("autogenerate") and directives[0].upgrade_ops.is_empty():
        directives.clear()


if typed and config.config_file_name:
    fileConfig(config.config_file_name, disable_existing_loggers=False)
try:
    if context.is_offline_mode():
        run_offline()
    else:
        run_online()
except errors.DbError as error:
    if typed is None:
        raise
    raise CommandError(f"{error.what}\n{error.hint}") from error
