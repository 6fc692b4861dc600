"""A database that init_db.sql made gets head's revision if its schema is head's, and none otherwise."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from app.db import chain, command, current, stamp
from tests.db.rows import ask, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import URL

VERSION = "SELECT version_num FROM alembic_version"


@pytest.fixture
def migrator(as_role: Callable[[URL, str], URL]) -> Callable[[URL], URL]:
    return lambda url: as_role(url, "app_migrator")


def stamped(url: URL, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    argv = ["--dsn", url.render_as_string(hide_password=False), *words]
    code = command.run(stamp.parser(), stamp.act, argv)
    said = capsys.readouterr()
    return code, said.out, said.err


def test_a_schema_that_is_heads_is_stamped_as_a_migration_would(
    database: URL, migrator: Callable[[URL], URL], capsys: pytest.CaptureFixture[str]
) -> None:
    run(database, "UPDATE schema_release SET oldest_release = '0.0.1'")
    code, out, _ = stamped(migrator(database), capsys, "--json")
    head = chain.head()
    data = json.loads(out)
    assert (code, data["stamped"], data["revision"], data["differences"]) == (0, True, head.id, [])
    assert ask(database, "SELECT oldest_release FROM schema_release") == head.oldest_release
    owner = "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'alembic_version'"
    assert ask(database, owner) == "app_owner"
    url = migrator(database).render_as_string(hide_password=False)
    assert command.run(current.parser(), current.act, ["--dsn", url]) == 0


def test_the_table_is_the_one_that_alembic_makes(
    database: URL, migrated: Callable[[str], URL], migrator: Callable[[URL], URL], capsys: pytest.CaptureFixture[str]
) -> None:
    stamped(migrator(database), capsys)
    shape = (
        "SELECT string_agg(format('%s %s %s', attname, format_type(atttypid, atttypmod), attnotnull), ',')"
        " || (SELECT string_agg(conname || pg_get_constraintdef(oid), ',' ORDER BY conname) FROM pg_constraint"
        "     WHERE conrelid = 'alembic_version'::regclass)"
        " FROM pg_attribute WHERE attrelid = 'alembic_version'::regclass AND attnum > 0"
    )
    assert ask(database, shape) == ask(migrated(chain.head().id), shape)


def test_again_is_no_change(database: URL, migrator: Callable[[URL], URL], capsys: pytest.CaptureFixture[str]) -> None:
    assert [stamped(migrator(database), capsys)[0] for _ in range(2)] == [0, 0]
    assert ask(database, VERSION) == chain.head().id


def test_a_schema_that_is_ahead_is_left_without_a_revision(
    database: URL, migrator: Callable[[URL], URL], capsys: pytest.CaptureFixture[str]
) -> None:
    run(database, "ALTER TABLE media_file ADD mood varchar(20)")
    code, out, _ = stamped(migrator(database), capsys)
    assert code == 0
    first, difference, last = out.splitlines()
    assert first.startswith("init_db.sql is ahead of the migrations")
    assert difference == "  column media_file.mood is not expected; found: character varying(20)"
    assert last == "type ./opentr.sh db revision -m ..."
    assert ask(database, "SELECT to_regclass('alembic_version')") is None
    data = json.loads(stamped(migrator(database), capsys, "--json")[1])
    assert (data["stamped"], data["revision"], data["differences"]) == (False, None, [difference.strip()])


@pytest.mark.parametrize("version", ["0008", "74093bff36e6"])
def test_a_database_that_says_another_revision_is_refused(
    database: URL, migrator: Callable[[URL], URL], capsys: pytest.CaptureFixture[str], version: str
) -> None:
    stamped(migrator(database), capsys)
    run(database, f"UPDATE alembic_version SET version_num = '{version}'")
    code, _, err = stamped(migrator(database), capsys)
    assert code == 4
    assert f"says it is at revision {version}" in err
    assert len(err.splitlines()) == 2
    assert ask(database, VERSION) == version


def test_a_database_that_says_head_and_is_not_is_refused(
    database: URL, migrator: Callable[[URL], URL], capsys: pytest.CaptureFixture[str]
) -> None:
    stamped(migrator(database), capsys)
    run(database, "ALTER TABLE media_file ADD mood varchar(20)")
    code, _, err = stamped(migrator(database), capsys)
    assert code == 4
    assert "column media_file.mood is not expected" in err


def test_an_empty_database_is_refused(
    empty_database: URL, migrator: Callable[[URL], URL], capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = stamped(migrator(empty_database), capsys)
    assert (code, len(err.splitlines())) == (2, 2)


def test_the_application_may_not_stamp(
    database: URL, as_role: Callable[[URL, str], URL], capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = stamped(as_role(database, "app_rw"), capsys)
    assert code == 4
    assert "may not change the schema" in err


def test_a_superuser_stamps_for_app_owner(database: URL, capsys: pytest.CaptureFixture[str]) -> None:
    assert stamped(database, capsys)[0] == 0
    assert ask(database, "SELECT tableowner FROM pg_tables WHERE tablename = 'alembic_version'") == "app_owner"
