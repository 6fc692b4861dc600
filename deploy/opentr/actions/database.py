"""Making the database: its schema and its administrator, in a database of another name first.

In dev that one is kept as a template, named by what it was made of; the next reset only clones it. In prod the
release's own migrations make the database itself.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from opentr import credentials, ui
from opentr.errors import ProcessFailed
from opentr.errors.data import DatabaseNotEmpty, SchemaBroken
from opentr.server import generations, pool, psql
from opentr.server.generations import LIVE, NEXT
from opentr.settings import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from opentr.actions.environment import Environment
    from opentr.runtimes.base import Runtime
    from opentr.server.generations import Database

Source = Literal["sql", "migrations"]
"""What makes the schema: init_db.sql, or the chain of migrations."""

MAKING = f"{LIVE}_template_making"
PAUSE_SECONDS = 10
RECORD = "database"
"""The state's record that a database was made here, and when."""
_TEMPLATE = re.compile(rf"{LIVE}_template_(making|[0-9a-f]{{12}})")
_RELEASE_ROLES = "\\i /usr/local/share/opentr/roles.sql"
_SQL_ERROR = re.compile(r"^psql:<stdin>:(\d+): ERROR:\s+(.*)", re.MULTILINE)
_UNSTAMPED = "unstamped"
# What a template is made of; a change in any of these makes a new one.
_MADE_OF = (
    *("database/roles.sql", "database/init_db.sql", "backend/alembic/**/*.*", "backend/app/db/stamp.py"),
    *("backend/app/initial_data.py", "backend/app/services/users.py", "backend/app/core/security.py"),
)


@dataclass(frozen=True)
class Made:
    """A database that was made."""

    revision: str | None
    """None: the SQL is ahead of the migrations"""


def make_database(environment: Environment, source: Source) -> Made:
    """Make the schema and the administrator where the database is empty.

    Raises DatabaseNotEmpty, SchemaBroken, ProcessFailed; then nothing has changed.
    """
    runtime = environment.runtime
    ensure_live(environment)
    if generations.has_tables(runtime):
        raise DatabaseNotEmpty(LIVE, environment.name)
    made = make_next(environment, source)
    with pool.paused(runtime, PAUSE_SECONDS):
        psql.execute(runtime, generations.replace_empty(), psql.MAINTENANCE)
    record(environment, source, made.revision)
    return made


def record(environment: Environment, source: Source, revision: str | None) -> None:
    """Write down that a database was made here: from now on a vanished volume is an accident."""
    made_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    data = {"made_at": made_at, "source": source, "revision": revision}
    environment.state.write(RECORD, data | {"admin_email": environment.settings.admin.email})


def ensure_live(environment: Environment) -> None:
    """Make the live database, empty, if somebody has dropped it: without it nothing else is healthy."""
    if LIVE not in generations.databases(environment.runtime):
        sql = f"CREATE DATABASE {LIVE};\n\\connect {LIVE}\n{roles(environment)}"
        psql.execute(environment.runtime, sql, psql.MAINTENANCE)


def make_next(environment: Environment, source: Source, then: str = "") -> Made:
    """Make `opentranscribe_next`; `then` is SQL to run when it is complete. Raises SchemaBroken, ProcessFailed."""
    runtime = environment.runtime
    if environment.name == "prod":
        ensure_live(environment)
        made = _build(environment, NEXT, source)
        psql.execute(runtime, then, psql.MAINTENANCE, application=generations.SWAPPER)
        return made
    template = template_name(environment, source)
    clone = clone_sql(environment, template) + then
    comment = psql.script(runtime, clone, psql.MAINTENANCE, application=generations.SWAPPER)
    if not comment:
        with ui.step(f"make a template from {TITLES[source]}"):
            _make_template(environment, template, source)
        comment = psql.script(runtime, clone, psql.MAINTENANCE, application=generations.SWAPPER)
    return Made(None if comment == _UNSTAMPED else comment)


TITLES: dict[Source, str] = {"sql": "init_db.sql", "migrations": "the migrations"}


def template_name(environment: Environment, source: Source) -> str:
    """The template's name goes by the content of what makes it."""
    digest = hashlib.sha256(source.encode())
    digest.update(environment.settings.admin.email.encode())
    digest.update(credentials.ensure(environment.state)["admin_password"].reveal().encode())
    for file in _files():
        digest.update(str(file.relative_to(CHECKOUT)).encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return f"{LIVE}_template_{digest.hexdigest()[:12]}"


def templates(there: Mapping[str, Database]) -> list[str]:
    """The templates among these databases, half-made ones too."""
    return [name for name in there if _TEMPLATE.fullmatch(name)]


def clone_sql(environment: Environment, template: str) -> str:
    """The SQL that makes the next database out of the template, and says the template's comment.

    If there is no such template it does and says nothing. What roles.sql grants on a database as a whole isn't cloned.
    A live database that somebody has dropped is made, empty, so that there is something to put in its place.
    """
    return f"""\
SELECT count(*) > 0 AS there FROM pg_database WHERE datname = '{template}' \\gset
\\if :there
\\else
\\quit
\\endif
SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{template}';
SELECT count(*) = 0 AS lost FROM pg_database WHERE datname = '{LIVE}' \\gset
\\if :lost
CREATE DATABASE {LIVE};
\\endif
DROP DATABASE IF EXISTS {NEXT} WITH (FORCE);
CREATE DATABASE {NEXT} TEMPLATE {template};
\\connect {NEXT}
{roles(environment)}
\\connect {psql.MAINTENANCE}
"""


def _files() -> Iterator[Path]:
    for pattern in _MADE_OF:
        yield from sorted(file for file in CHECKOUT.glob(pattern) if file.suffix != ".pyc")


def _make_template(environment: Environment, template: str, source: Source) -> None:
    """Make the template under another name, and drop the older ones; its comment is the revision."""
    made = _build(environment, MAKING, source)
    older = templates(generations.databases(environment.runtime))
    drop = "".join(f"DROP DATABASE IF EXISTS {name} WITH (FORCE);\n" for name in older if name != MAKING)
    sql = f"""
BEGIN;
ALTER DATABASE {MAKING} RENAME TO {template};
ALTER DATABASE {template} ALLOW_CONNECTIONS false;
COMMENT ON DATABASE {template} IS {psql.literal(made.revision or _UNSTAMPED)};
COMMIT;
{drop}"""
    psql.execute(environment.runtime, sql, psql.MAINTENANCE)


def _build(environment: Environment, name: str, source: Source) -> Made:
    """Make a database of this name with roles, schema and administrator. Raises SchemaBroken, ProcessFailed."""
    runtime = environment.runtime
    psql.execute(runtime, bare_sql(environment, name), psql.MAINTENANCE)
    if source == "sql":
        _run_init_sql(environment, name)
    said = runtime.run_once("migrate", _filling(source), environment=addresses(runtime, name))
    documents = list(_documents(said))
    return Made(documents[0]["revision"])


def bare_sql(environment: Environment, name: str) -> str:
    """The SQL that makes a database of this name, with its rights and without tables, in the place of what is there."""
    locale = "ENCODING 'UTF8' LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8'"
    create = [
        f"DROP DATABASE IF EXISTS {name} WITH (FORCE);",
        f"CREATE DATABASE {name} TEMPLATE template0 OWNER app_owner {locale};",
        f"\\connect {name}",
        roles(environment),
    ]
    return "\n".join(create)


def _run_init_sql(environment: Environment, name: str) -> None:
    file = CHECKOUT / "database" / "init_db.sql"
    options = ["--single-transaction", "-c", "SET ROLE app_owner", "-f", "-"]
    try:
        environment.runtime.run_in("postgres", psql.argv(name, *options), stdin=file.read_text(encoding="utf-8"))
    except ProcessFailed as failure:
        if found := _SQL_ERROR.search(failure.stderr):
            raise SchemaBroken("database/init_db.sql", int(found[1]), found[2]) from failure
        raise


def _filling(source: Source) -> list[str]:
    """The app's commands that finish a new database, in one one-off: stamp or migrate it, make the administrator."""
    verb = "app.db.stamp" if source == "sql" else "app.db.migrate"
    return ["sh", "-ec", f"python -m {verb} --json; python -m app.initial_data --json"]


def addresses(runtime: Runtime, name: str) -> dict[str, str]:
    """The variables by which the app finds a database of this name; the passwords are in its secrets."""
    server = runtime.within("postgres", 5432)
    return {
        "DATABASE_URL": f"postgresql+psycopg2://app_rw@{server}/{name}",
        "MIGRATOR_DATABASE_URL": f"postgresql+psycopg2://app_migrator@{server}/{name}",
    }


def roles(environment: Environment) -> str:
    """roles.sql: the checkout's in dev, in prod the one that the release's image of Postgres holds."""
    if environment.name == "prod":
        return _RELEASE_ROLES
    return (CHECKOUT / "database" / "roles.sql").read_text(encoding="utf-8")


def _documents(text: str) -> Iterator[dict[str, Any]]:
    """The JSON documents of a text that holds several, one after another."""
    decoder = json.JSONDecoder()
    while text := text.lstrip():
        document, end = decoder.raw_decode(text)
        yield document
        text = text[end:]
