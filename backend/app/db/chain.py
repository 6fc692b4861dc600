"""The chain of migrations, and where a database stands in it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.db import errors

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import Script, ScriptDirectory
    from sqlalchemy import URL, Connection

BACKEND = Path(__file__).resolve().parents[2]
RELEASE_RECORDED_SINCE = "0003"
"""The revision that made the table schema_release."""


@dataclass(frozen=True)
class Revision:
    """One migration. `oldest_release` is the oldest release of the app that works on the schema it makes."""

    id: str
    subject: str
    path: Path
    oldest_release: str
    repairs: frozenset[str]

    def __str__(self) -> str:
        return f"{self.id} ({self.subject})"


def config(url: URL | None = None, **attributes: Any) -> Config:  # noqa: ANN401 - Alembic's own bag of attributes
    """Alembic's configuration for our chain; `url` and `attributes` are what env.py reads."""
    from alembic.config import Config

    made = Config(str(BACKEND / "alembic.ini"))
    for name, place in (("script_location", BACKEND / "alembic"), ("prepend_sys_path", BACKEND)):
        made.set_main_option(name, str(place).replace("%", "%%"))  # what the file has of %(here)s breaks at a %
    made.attributes.update(attributes, url=url)
    return made


@cache
def scripts() -> ScriptDirectory:
    """Alembic's own view of `alembic/versions`."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(config())


@cache
def revisions() -> tuple[Revision, ...]:
    """Every revision, oldest first. Raises `BadInput` when the chain has two heads."""
    heads = scripts().get_heads()
    if len(heads) != 1:
        raise errors.BadInput(
            f"the migrations have {len(heads)} heads: {', '.join(heads)}",
            "let one revision revise the other: the chain is a line",
        )
    return tuple(_described(script) for script in reversed(list(scripts().walk_revisions())))


def _described(script: Script) -> Revision:
    if not hasattr(script.module, "oldest_release"):
        raise errors.BadInput(f"{script.path} declares no oldest_release", "add oldest_release = '...' beside its id")
    subject = (script.doc or "").partition(":")[0].rstrip(".")
    repairs = frozenset(getattr(script.module, "repairs", ()))
    return Revision(script.revision, subject, Path(script.path), script.module.oldest_release, repairs)


def forget() -> None:
    """Reads the folder again at the next question: a revision was written."""
    scripts.cache_clear()
    revisions.cache_clear()


def head() -> Revision:
    """The newest revision."""
    return revisions()[-1]


def known(revision: str) -> Revision | None:
    """The revision of this id, if this release has it."""
    return next((each for each in revisions() if each.id == revision), None)


def records_release(revision: Revision) -> bool:
    """Whether the schema at this revision has the table schema_release."""
    ids = [each.id for each in revisions()]
    return ids.index(revision.id) >= ids.index(RELEASE_RECORDED_SINCE)


def after(current: Revision | None) -> tuple[Revision, ...]:
    """The revisions that a database at `current` hasn't had yet; all of them when it has had none."""
    everyone = revisions()
    return everyone if current is None else everyone[everyone.index(current) + 1 :]


def stated_versions(connection: Connection) -> list[str] | None:
    """What `alembic_version` holds; None when there is no such table."""
    if connection.exec_driver_sql("SELECT to_regclass('public.alembic_version')").scalar_one() is None:
        return None
    return sorted(connection.exec_driver_sql("SELECT version_num FROM public.alembic_version").scalars())


def has_tables(connection: Connection) -> bool:
    """Whether any table of ours is there."""
    return connection.exec_driver_sql("SELECT to_regclass('public.media_file')").scalar_one() is not None


def oldest_release(connection: Connection) -> str | None:
    """The oldest release that the database says works on it; None before revision 0003."""
    if connection.exec_driver_sql("SELECT to_regclass('public.schema_release')").scalar_one() is None:
        return None
    found: str | None = connection.exec_driver_sql(
        "SELECT oldest_release FROM public.schema_release"
    ).scalar_one_or_none()
    return found


def write(connection: Connection, revision: Revision) -> None:
    """Says that the database is at this revision, in place of what it says now, as a migration to it would."""
    connection.exec_driver_sql(
        "CREATE TABLE IF NOT EXISTS public.alembic_version (version_num varchar(32) NOT NULL,"
        " CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
    )
    connection.exec_driver_sql("DELETE FROM public.alembic_version")
    connection.exec_driver_sql("INSERT INTO public.alembic_version (version_num) VALUES (%(id)s)", {"id": revision.id})
    if records_release(revision):
        connection.exec_driver_sql(
            "INSERT INTO public.schema_release (oldest_release) VALUES (%(release)s)"
            " ON CONFLICT (id) DO UPDATE SET oldest_release = EXCLUDED.oldest_release",
            {"release": revision.oldest_release},
        )


def position(connection: Connection) -> Revision | None:
    """The revision that the database stands at; None for an empty database.

    Raises `RevisionUnknown`, `DatabaseNewer`, or `RevisionMissing` where its statement can't be understood.
    """
    stated = stated_versions(connection) or []
    if not stated and not has_tables(connection):
        return None
    if len(stated) != 1:
        raise errors.RevisionMissing(stated)
    found = known(stated[0])
    if found is None:
        release = oldest_release(connection)
        raise errors.RevisionUnknown(stated[0]) if release is None else errors.DatabaseNewer(stated[0], release)
    if not has_tables(connection):
        raise errors.RevisionUntrue(stated[0])
    return found
