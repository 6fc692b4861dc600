"""Migrations on databases with rows and with traffic: forwards, backwards, blocked, failing, twice at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from alembic import command as alembic

from app.db import adopt, catalog, chain, command, connect, errors, migrate, migrator
from app.db.migrator import Budget
from app.db.sql import upgrade_sql
from tests.db.rows import all_rows, ask, in_columns_of, run
from tests.db.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import URL, Connection

    from tests.pgbouncer import PgBouncer

HEAD, BEFORE = chain.head().id, chain.revisions()[-2].id
IMPATIENT = Budget(lock_timeout_ms=300, attempts=2, longest_pause_s=0.1)


@pytest.fixture
def adopted(contract_database: URL) -> URL:
    """A database of the field with rows, adopted at revision 0002."""
    adopt.adopt(contract_database, adopt.look(contract_database))
    return contract_database


@pytest.fixture
def blocking(migrated: Callable[[str], URL]) -> Iterator[tuple[URL, Connection]]:
    """A database at 0008 and a session named `nightly report` in whose transaction media_file was read."""
    url = migrated("0008")
    engine = connect.direct_engine(url, application_name="nightly report")
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT count(*) FROM media_file")
        yield url, connection
    engine.dispose()


def version(url: URL) -> object:
    """The revision that a fresh connection sees."""
    return ask(url, "SELECT string_agg(version_num, ',') FROM alembic_version")


def test_each_revision_goes_up_and_down_on_rows(adopted: URL) -> None:
    """Upwards no row is lost; each downgrade leaves the catalog of the revision below, and the rows."""
    upwards = {"0002": all_rows(adopted)}
    for revision in chain.after(chain.known("0002")):
        migrate.migrate(adopted, revision)
        upwards[revision.id] = all_rows(adopted)
        assert {t: len(found) for t, found in upwards[revision.id].items()} == {
            t: len(f) for t, f in upwards["0002"].items()
        }
    for revision in reversed(chain.revisions()[1:-1]):
        alembic.downgrade(chain.config(adopted, say=lambda _line: None), revision.id)
        with connect.direct(adopted, "tests") as connection:
            assert catalog.compare(catalog.recorded(revision.id) or {}, catalog.read_catalog(connection)) == []
        rows = all_rows(adopted)
        assert rows == in_columns_of(rows, upwards[HEAD]), revision
    migrate.migrate(adopted, chain.head())
    assert all_rows(adopted) == upwards[HEAD]


def test_existing_speakers_get_a_uuid_each(migrated: Callable[[str], URL]) -> None:
    url = migrated("0001")
    run(
        url,
        "INSERT INTO \"user\" (email, hashed_password, full_name) VALUES ('a@b', 'x', 'A')",
        "INSERT INTO speaker (user_id, name) SELECT 1, 'S' || n FROM generate_series(1, 50) n",
    )
    migrate.migrate(url, chain.head())
    assert (
        ask(url, "SELECT count(DISTINCT uuid) FROM speaker WHERE uuid ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'")
        == 50
    )


def test_an_old_segment_outlives_its_speaker_and_goes_with_its_file(adopted: URL) -> None:
    migrate.migrate(adopted, chain.head())
    before = ask(adopted, "SELECT count(*) FROM transcript_segment")
    run(adopted, "DELETE FROM speaker WHERE id = 1")
    assert ask(adopted, "SELECT count(*) FROM transcript_segment") == before
    run(adopted, "DELETE FROM media_file WHERE id = 2")
    assert ask(adopted, "SELECT count(*) FROM transcript_segment") == int(str(before)) - 50


def test_updated_at_is_kept_by_the_database(database: URL) -> None:
    run(
        database,
        "INSERT INTO \"user\" (email, hashed_password, full_name, updated_at) VALUES ('a@b', 'x', 'A', '2020-01-01')",
        'UPDATE "user" SET full_name = full_name',
    )
    assert ask(database, "SELECT updated_at < now() - interval '1 year' FROM \"user\"") is True
    run(database, "UPDATE \"user\" SET full_name = 'B'")
    assert ask(database, "SELECT updated_at > now() - interval '1 minute' FROM \"user\"") is True


def test_oldest_release_follows_the_revision_both_ways(tree: Tree, empty_database: URL) -> None:
    for revision, release in ((chain.revisions()[-2], "0.9.0"), (chain.head(), "1.0.0")):
        file = f"backend/alembic/versions/{revision.path.name}"
        tree.change(file, 'oldest_release = "0.1.0"', f'oldest_release = "{release}"')
    question = "SELECT oldest_release FROM schema_release"
    assert tree.run(["-m", "alembic", "upgrade", "0008"], empty_database).returncode == 0
    assert ask(empty_database, question) == "0.1.0"
    assert tree.run(["-m", "alembic", "upgrade", "head"], empty_database).returncode == 0
    assert ask(empty_database, question) == "1.0.0"
    assert tree.run(["-m", "alembic", "downgrade", "-1"], empty_database).returncode == 0
    assert ask(empty_database, question) == "0.9.0"


def test_plain_alembic_works_with_the_same_settings(tree: Tree, empty_database: URL) -> None:
    upgraded = tree.run(["-m", "alembic", "upgrade", "head"], empty_database)
    assert upgraded.returncode == 0, upgraded.stderr
    assert f"to {chain.head()}" in upgraded.stderr
    assert tree.run(["-m", "alembic", "current"], empty_database).stdout.split() == [HEAD, "(head)"]
    assert tree.run(["-m", "alembic", "downgrade", "-1"], empty_database).returncode == 0
    assert version(empty_database) == BEFORE


def test_new_objects_belong_to_app_owner_whoever_migrates(migrated: Callable[[str], URL]) -> None:
    url = migrated(HEAD)
    owners = "SELECT string_agg(DISTINCT tableowner, ',') FROM pg_tables WHERE schemaname = 'public'"
    assert ask(url, owners) == "app_owner"
    assert ask(url, "SELECT has_table_privilege('app_rw', 'media_file', 'INSERT')") is True


def test_the_migrator_role_migrates(empty_database: URL, as_role: Callable[[URL, str], URL]) -> None:
    migrate.migrate(as_role(empty_database, "app_migrator"), chain.head())
    assert version(empty_database) == HEAD


def test_the_applications_role_may_not_migrate(empty_database: URL, as_role: Callable[[URL, str], URL]) -> None:
    with pytest.raises(errors.RightsMissing, match="the role app_rw may not change the schema"):
        migrate.migrate(as_role(empty_database, "app_rw"), chain.head())
    assert ask(empty_database, "SELECT to_regclass('media_file')") is None


def test_a_migration_does_not_go_through_a_pool(
    pool: PgBouncer, empty_database: URL, as_role: Callable[[URL, str], URL]
) -> None:
    pooled = pool.through(as_role(empty_database, "app_rw"))
    with pytest.raises(errors.PooledConnection, match="goes through a connection pooler"):
        migrate.migrate(pooled, chain.head())


def test_a_lock_that_stays_is_named_and_the_database_is_where_it_was(blocking: tuple[URL, Connection]) -> None:
    url, _ = blocking
    with pytest.raises(errors.LockBudgetSpent, match="nightly report, idle in transaction") as caught:
        migrate.migrate(url, chain.head(), IMPATIENT)
    assert caught.value.reached == "0008"
    assert version(url) == "0008"
    assert "SELECT count(*) FROM media_file" in str(caught.value)


def test_a_lock_that_goes_lets_the_migration_through(
    blocking: tuple[URL, Connection],
) -> None:
    url, connection = blocking
    told: list[str] = []

    def free(line: str) -> None:
        told.append(line)
        if "attempt 1" in line:
            connection.rollback()

    alembic.upgrade(
        chain.config(url, say=free, budget=Budget(lock_timeout_ms=300, attempts=5, longest_pause_s=0.1)), "head"
    )
    assert version(url) == HEAD
    assert any("held by" in line and "nightly report" in line for line in told)


def test_the_role_app_migrator_sees_who_blocks_it(
    blocking: tuple[URL, Connection], as_role: Callable[[URL, str], URL]
) -> None:
    url, _ = blocking
    with pytest.raises(errors.LockBudgetSpent, match=r"nightly report.*SELECT count"):
        migrate.migrate(as_role(url, "app_migrator"), chain.head(), IMPATIENT)


def test_a_second_migrator_is_refused_and_told_who_is_at_work(migrated: Callable[[str], URL]) -> None:
    url = migrated("0003")
    with migrator.alone(url), pytest.raises(errors.MigratorBusy, match=r"opentr migrator \(lock\)"):
        migrate.migrate(url, chain.head())
    assert version(url) == "0003"


def test_two_migrators_at_once_end_at_head(tree: Tree, migrated: Callable[[str], URL]) -> None:
    """Each either does it, finds it done, or is refused; never both half."""
    url = migrated("0003")
    with ThreadPoolExecutor(2) as both:
        ended = list(both.map(lambda _: tree.run(["-m", "app.db.migrate"], url), range(2)))
    assert 0 in [process.returncode for process in ended]
    for process in ended:
        assert process.returncode == 0 or "another migrator is at work" in process.stderr
    assert version(url) == HEAD


def test_a_revision_that_fails_in_the_middle_leaves_those_before_it(tree: Tree, migrated: Callable[[str], URL]) -> None:
    url = migrated("0006")
    tree.change(
        "backend/alembic/versions/0009_listing_times.py",
        'f"ALTER TABLE {table} DROP CONSTRAINT {table}_{column}_check"',
        '"SELECT 1 / 0"',
    )
    failed = tree.run(["-m", "app.db.migrate"], url)
    assert failed.returncode == 1
    assert "division by zero. The database is at revision 0008" in failed.stderr
    assert version(url) == "0008"
    assert (
        ask(
            url,
            "SELECT attnotnull FROM pg_attribute WHERE attrelid = 'media_file'::regclass AND attname = 'upload_time'",
        )
        is False
    )


def test_an_index_that_fails_concurrently_leaves_nothing_invalid_and_goes_on(migrated: Callable[[str], URL]) -> None:
    url = migrated("0003")
    run(url, "CREATE INDEX CONCURRENTLY speaker_user_id_idx ON speaker (user_id)")
    run(url, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'speaker_user_id_idx'::regclass")
    migrate.migrate(url, chain.head())
    assert ask(url, "SELECT bool_and(indisvalid) FROM pg_index") is True
    with connect.direct(url, "tests") as connection:
        assert catalog.compare(catalog.recorded(HEAD) or {}, catalog.read_catalog(connection)) == []


def test_a_failed_concurrent_index_says_where_the_database_is(tree: Tree, migrated: Callable[[str], URL]) -> None:
    url = migrated("0003")
    tree.change("backend/alembic/versions/0004_indexes.py", '"task (media_file_id)"', '"task ((1 / (length(id) - 1)))"')
    run(
        url,
        "INSERT INTO \"user\" (email, hashed_password, full_name) VALUES ('a@b', 'x', 'A')",
        "INSERT INTO task (id, user_id, task_type, status) VALUES ('a', 1, 't', 'pending')",
    )
    failed = tree.run(["-m", "app.db.migrate"], url)
    assert failed.returncode == 1
    assert "division by zero. The database is at revision 0003" in failed.stderr
    assert ask(url, "SELECT count(*) FROM pg_index WHERE NOT indisvalid") == 0
    run(url, "DELETE FROM task")
    ended = tree.run(["-m", "app.db.migrate", "--to", "0004"], url)
    assert version(url) == "0004"
    assert ended.returncode == 5  # and the index that this test has bent isn't taken for the recorded one
    assert "index task_media_file_id_idx is" in ended.stderr


def test_an_upgrade_that_is_not_there_afterwards_is_no_success(tree: Tree, migrated: Callable[[str], URL]) -> None:
    url = migrated("0009")
    # SQL on Alembic's own connection before configure(): the upgrade ends without an error and persists nothing.
    tree.change(
        "backend/alembic/env.py",
        "        configure(connection, remember)\n",
        "        connection.exec_driver_sql('SELECT 1')\n        configure(connection, remember)\n",
    )
    tree.change(
        "backend/alembic/versions/0010_search.py",
        "    for name, definition in INDEXES.items():\n        create_index(name, definition)",
        "    pass",
    )
    ended = tree.run(["-m", "app.db.migrate", "--to", "0010"], url)
    assert ended.returncode == 5
    assert "ended at revision 0010, and a fresh connection sees 0009" in ended.stderr


def test_killed_in_the_middle_it_goes_on_next_time(migrated: Callable[[str], URL]) -> None:
    url = migrated("0003")

    def die(line: str) -> None:
        if "to 0007" in line:
            os._exit(9)

    pid = os.fork()
    if pid == 0:
        alembic.upgrade(chain.config(url, say=die), "head")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    assert version(url) == "0006"
    while ask(url, "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'opentr migrator%'"):
        pass
    migrate.migrate(url, chain.head())
    assert version(url) == HEAD


def test_a_drifted_database_is_not_migrated(migrated: Callable[[str], URL]) -> None:
    url = migrated("0008")
    run(url, "ALTER TABLE tag ALTER name TYPE varchar(60)")
    with pytest.raises(errors.SchemaUnmatched, match=r"column tag\.name"):
        migrate.migrate(url, chain.head())
    assert version(url) == "0008"


def test_a_database_at_head_that_has_lost_a_table_is_no_success(migrated: Callable[[str], URL]) -> None:
    url = migrated(HEAD)
    run(url, "DROP TABLE comment")
    with pytest.raises(errors.SchemaUnmatched, match="table comment is missing"):
        migrate.migrate(url, chain.head())


def test_an_index_of_the_right_name_on_the_wrong_column_is_no_success(migrated: Callable[[str], URL]) -> None:
    url = migrated("0003")
    run(url, "CREATE INDEX task_media_file_id_idx ON task (status)")
    with pytest.raises(errors.SchemaUnproven, match="task_media_file_id_idx") as caught:
        migrate.migrate(url, chain.head())
    assert caught.value.exit_code == 5


def test_another_search_path_of_the_database_changes_nothing(migrated: Callable[[str], URL]) -> None:
    url = migrated("0002")
    run(url, "CREATE SCHEMA other", f'ALTER DATABASE "{url.database}" SET search_path = other, public')
    migrate.migrate(url, chain.head())
    assert (
        ask(
            url,
            "SELECT to_regclass('public.schema_release') IS NOT NULL AND to_regclass('other.schema_release') IS NULL",
        )
        is True
    )


def test_an_empty_database_that_was_stamped_is_not_migrated(tree: Tree, empty_database: URL) -> None:
    assert tree.run(["-m", "alembic", "stamp", "0002"], empty_database).returncode == 0
    with pytest.raises(errors.RevisionUntrue):
        migrate.migrate(empty_database, chain.head())
    assert version(empty_database) == "0002"


def test_a_read_only_database_is_named_as_such(migrated: Callable[[str], URL]) -> None:
    url = migrated("0002")
    run(url, f'ALTER DATABASE "{url.database}" SET default_transaction_read_only = on')
    with pytest.raises(errors.ReadOnly):
        migrate.migrate(url, chain.head())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_while_it_waits_it_ends_at_once_and_leaves_nothing_running(
    migrated: Callable[[str], URL], number: signal.Signals
) -> None:
    url = migrated("0003")
    engine = connect.direct_engine(url, application_name="long report")
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as reading:
        reading.exec_driver_sql("SELECT count(*) FROM speaker")
        words = [sys.executable, "-m", "app.db.migrate", "--dsn", url.render_as_string(hide_password=False)]
        with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
            building = "query LIKE 'CREATE INDEX CONCURRENTLY%' AND state = 'active'"
            question = f"SELECT count(*) FROM pg_stat_activity WHERE {building}"
            while not ask(url, question):
                assert process.poll() is None
            process.send_signal(number)
            assert process.wait(20) == command.INTERRUPTED
            assert process.stderr
            assert "type the same command again" in process.stderr.read()
        while ask(url, question):
            pass
    engine.dispose()
    assert version(url) == "0003"
    migrate.migrate(url, chain.head())
    assert version(url) == HEAD


def test_killed_in_the_middle_of_a_statement_the_server_notices_and_the_next_call_goes_on(
    migrated: Callable[[str], URL],
) -> None:
    """What would block that statement for ever stays in its way: nothing but the connection's end can end it."""
    url = migrated("0003")
    engine = connect.direct_engine(url, application_name="long report")
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as reading:
        reading.exec_driver_sql("SELECT count(*) FROM speaker")
        words = [sys.executable, "-m", "app.db.migrate", "--dsn", url.render_as_string(hide_password=False)]
        with subprocess.Popen(words, stderr=subprocess.DEVNULL) as process:
            building = "query LIKE 'CREATE INDEX CONCURRENTLY%' AND state = 'active'"
            question = f"SELECT count(*) FROM pg_stat_activity WHERE {building}"
            while not ask(url, question):
                assert process.poll() is None
            process.kill()
        while ask(url, question):
            pass
    engine.dispose()
    assert ask(url, "SELECT count(*) FROM pg_index WHERE NOT indisvalid") == 1
    migrate.migrate(url, chain.head())
    assert ask(url, "SELECT count(*) FROM pg_index WHERE NOT indisvalid") == 0
    assert version(url) == HEAD


def test_sql_for_a_person_to_run_sets_role_limits_and_path(migrated: Callable[[str], URL]) -> None:
    url = migrated("0002")
    text = upgrade_sql("0002", "head")
    raw = connect.direct_engine(url, application_name="tests").raw_connection()
    driver: Any = raw.driver_connection
    driver.autocommit = True
    for statement in statements_of(text):
        with driver.cursor() as cursor:
            cursor.execute(statement)
    raw.close()
    assert (
        ask(url, "SELECT string_agg(DISTINCT tableowner, ',') FROM pg_tables WHERE schemaname = 'public'")
        == "app_owner"
    )
    with connect.direct(url, "tests") as connection:
        assert catalog.compare(catalog.recorded(HEAD) or {}, catalog.read_catalog(connection)) == []


def statements_of(text: str) -> list[str]:
    """The statements of a script of ours: they end with a semicolon before an empty line."""
    return [part for part in text.split(";\n\n") if part.strip()]


def test_a_checkout_whose_path_has_signs_of_configurations_and_shells_migrates(
    tmp_path: Path, migrated: Callable[[str], URL]
) -> None:
    url = migrated(BEFORE)
    tree = Tree.copy_to(tmp_path / '100% "my" $HOME %(here)s')
    done = tree.run(["-m", "app.db.migrate"], url)
    assert done.returncode == 0, done.stderr
    assert ask(url, "SELECT version_num FROM alembic_version") == HEAD
