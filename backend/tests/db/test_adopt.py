# ruff: noqa: E501 - a change a line reads best
"""`db adopt`: databases in the field are understood exactly, taken over whole, or left alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from app.db import adopt, catalog, chain, command, connect, errors, migrate, scratch
from app.db.migrator import Budget
from tests.db.rows import TABLES, all_rows, ask, in_columns_of, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import URL

    from tests.servers import Servers


def adopt_by_command(url: URL, *words: str) -> int:
    """`db adopt --dsn url words`; the exit code."""
    return command.run(adopt.parser(), adopt.act, ["--dsn", url.render_as_string(hide_password=False), *words])


def without(rows: dict[str, list[dict[str, object]]], *columns: str) -> dict[str, list[dict[str, object]]]:
    """The rows without columns that a revision may change."""
    return {t: [{k: v for k, v in row.items() if k not in columns} for row in found] for t, found in rows.items()}


def test_a_database_from_the_field_is_adopted_and_upgraded_with_every_row_intact(contract_database: URL) -> None:
    before = all_rows(contract_database)
    assert adopt_by_command(contract_database, "--yes") == 0
    assert all_rows(contract_database) == before
    migrate.migrate(contract_database, chain.head())
    after = all_rows(contract_database)
    kept = in_columns_of(before, after)
    assert without(kept, "upload_time", "created_at") == without(before, "upload_time", "created_at")
    times = {row["id"]: row["upload_time"] for row in before["media_file"]}
    changed = [row for row in after["media_file"] if row["upload_time"] != times[row["id"]]]
    assert [(row["id"], row["upload_time"]) for row in changed] == [(7, "2025-05-01T10:00:00+00:00")]
    created = {row["id"]: row["created_at"] for row in before["task"]}
    assert [row["created_at"] for row in after["task"] if row["created_at"] != created[row["id"]]] == [
        "2025-01-02T03:04:00+00:00"
    ]


def test_after_adoption_everything_is_app_owners_and_app_rw_can_work(contract_database: URL, servers: Servers) -> None:
    adopt.adopt(contract_database, adopt.look(contract_database))
    with connect.direct(contract_database, "tests") as connection:
        around = catalog.read_surroundings(connection)
    assert {text for subject, text in around.items() if subject.startswith("owner of")} == {"app_owner"}
    assert around["grant on table media_file to app_rw"] == "DELETE, INSERT, SELECT, UPDATE"
    assert around["grant on sequence media_file_id_seq to app_rw"] == "SELECT, USAGE"
    server = servers.owner_of(contract_database)
    as_app = contract_database.set(
        username="app_rw", password=server.passwords["app_rw"], host="127.0.0.1", port=server.url.port, query={}
    )
    run(as_app, "INSERT INTO tag (name) VALUES ('of the app')", "DELETE FROM tag WHERE name = 'of the app'")


def test_the_plan_changes_nothing_and_names_what_would_break(
    contract_database: URL, capsys: pytest.CaptureFixture[str]
) -> None:
    run(
        contract_database,
        "UPDATE task SET progress = 1.5 WHERE user_id = 2",
        "UPDATE media_file SET status = 'odd' WHERE id = 5",
    )
    before = all_rows(contract_database, [*TABLES[:2], "task"])
    assert adopt_by_command(contract_database, "--plan") == 0
    text = capsys.readouterr().out
    assert "exactly revision 0002 (Add speaker fields)" in text
    assert "stamp revision 0002 (Add speaker fields) in place of 74093bff36e6" in text
    assert "task_progress_check on task: 8 rows, id " in text
    assert "media_file_status_check on media_file: 1 row, id 5" in text
    assert "upload_time" not in text  # revision 0008 repairs these itself
    assert ask(contract_database, "SELECT version_num FROM alembic_version") == "74093bff36e6"
    assert ask(contract_database, "SELECT tableowner FROM pg_tables WHERE tablename = 'media_file'") == "postgres"
    assert all_rows(contract_database, [*TABLES[:2], "task"]) == before


def test_rows_that_break_a_check_stop_the_migration_before_it_begins(contract_database: URL) -> None:
    adopt.adopt(contract_database, adopt.look(contract_database))
    run(contract_database, "UPDATE transcript_segment SET end_time = start_time - 1 WHERE id <= 12")
    with pytest.raises(errors.RowsBreak) as caught:
        migrate.migrate(contract_database, chain.head())
    assert caught.value.found == [
        "transcript_segment_end_time_check on transcript_segment: 12 rows, id 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 ..."
    ]
    assert ask(contract_database, "SELECT version_num FROM alembic_version") == "0002"


def test_without_a_terminal_and_without_yes_it_refuses(
    contract_database: URL, capsys: pytest.CaptureFixture[str]
) -> None:
    assert adopt_by_command(contract_database) == 3
    what, hint = capsys.readouterr().err.splitlines()
    assert "nobody confirmed it" in what
    assert "--yes" in hint
    assert ask(contract_database, "SELECT version_num FROM alembic_version") == "74093bff36e6"


def test_adopting_twice_changes_nothing(contract_database: URL, capsys: pytest.CaptureFixture[str]) -> None:
    assert adopt_by_command(contract_database, "--yes") == 0
    capsys.readouterr()
    assert adopt_by_command(contract_database, "--yes", "--json") == 0
    data = json.loads(capsys.readouterr().out)
    assert data["adopted"]
    assert data["steps"] == []


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("ALTER TABLE tag ALTER name TYPE varchar(60)", "column tag.name is: character varying(60) not null; expected: character varying(50) not null"),
        ("ALTER TABLE media_file DROP COLUMN author", "column media_file.author is missing; expected: character varying(255)"),
        ("CREATE INDEX mine ON comment (text)", "index mine is not expected; found: CREATE INDEX mine ON public.comment USING btree (text)"),
        ("DROP TABLE analytics", "table analytics is missing; expected: table"),
        ("ALTER TABLE task ALTER status DROP NOT NULL", "column task.status is: character varying(50); expected: character varying(50) not null"),
        ("CREATE VIEW public.mine AS SELECT 1 AS one", "table mine is not expected; found: view SELECT 1 AS one;"),
    ],
)  # fmt: skip
def test_a_drifted_schema_is_refused_with_the_exact_difference(contract_database: URL, change: str, line: str) -> None:
    run(contract_database, change)
    with pytest.raises(errors.SchemaUnmatched) as caught:
        adopt.look(contract_database)
    assert caught.value.differences == [line]
    assert caught.value.nearest == "0002 (Add speaker fields)"


def test_an_empty_database_has_nothing_to_adopt(servers: Servers, server_major: int) -> None:
    with (
        scratch.scratch_database(servers.get(server_major).url) as url,
        pytest.raises(errors.BadInput, match="is empty"),
    ):
        adopt.look(url)


def test_objects_of_an_extension_are_no_difference(contract_database: URL) -> None:
    run(contract_database, "CREATE EXTENSION pg_stat_statements")
    assert adopt_by_command(contract_database, "--yes") == 0


def test_a_wrong_stamp_is_corrected_to_what_the_schema_is(migrated: Callable[[str], URL]) -> None:
    url = migrated("0005")
    run(url, "UPDATE alembic_version SET version_num = '0009'")
    found = adopt.look(url)
    assert found.revision.id == "0005"
    adopt.adopt(url, found)
    assert ask(url, "SELECT version_num FROM alembic_version") == "0005"


def test_a_database_of_a_newer_release_is_left_alone(migrated: Callable[[str], URL]) -> None:
    url = migrated(chain.head().id)
    run(url, "UPDATE alembic_version SET version_num = '0042'", "UPDATE schema_release SET oldest_release = '9.1.0'")
    with pytest.raises(errors.DatabaseNewer, match=r"revision 0042 of a newer release and asks for release 9\.1\.0"):
        adopt.look(url)


def test_a_role_without_the_rights_is_told_what_it_needs(contract_database: URL, servers: Servers) -> None:
    server = servers.owner_of(contract_database)
    run(contract_database, f'GRANT CONNECT ON DATABASE "{contract_database.database}" TO app_rw')
    url = contract_database.set(
        username="app_rw", password=server.passwords["app_rw"], host="127.0.0.1", port=server.url.port, query={}
    )
    with pytest.raises(
        errors.RightsMissing, match="the role app_rw may not do that: permission denied for table alembic_version"
    ):
        adopt.look(url)


def test_the_owner_may_adopt_where_a_superuser_has_run_roles_sql(contract_database: URL, servers: Servers) -> None:
    server = servers.owner_of(contract_database)
    scratch.prepare(contract_database)
    name, password = f"ot_{contract_database.database[-8:]}" if contract_database.database else "ot", "secret"
    run(
        contract_database,
        f"CREATE ROLE {name} LOGIN PASSWORD '{password}' IN ROLE app_owner",
        f'GRANT CONNECT ON DATABASE "{contract_database.database}" TO {name}',
        *(f"ALTER TABLE {table} OWNER TO {name}" for table in (*TABLES, "alembic_version")),
    )
    url = contract_database.set(username=name, password=password, host="127.0.0.1", port=server.url.port, query={})
    try:
        adopt.adopt(url, adopt.look(url))
        assert adopt.look(url).done
        assert ask(contract_database, "SELECT version_num FROM alembic_version") == "0002"
    finally:
        run(contract_database, f"DROP OWNED BY {name}", f"DROP ROLE {name}")


def test_a_session_that_holds_a_table_is_named_and_nothing_is_changed(
    contract_database: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = Budget(lock_timeout_ms=300, attempts=2, longest_pause_s=0.1)
    monkeypatch.setattr(adopt, "Budget", lambda: impatient)
    engine = connect.direct_engine(contract_database, application_name="reports")
    with engine.connect() as blocking:
        blocking.exec_driver_sql("SELECT count(*) FROM tag")
        with pytest.raises(errors.LockBudgetSpent, match=r"reports, idle in transaction"):
            adopt.adopt(contract_database, adopt.look(contract_database))
    engine.dispose()
    assert ask(contract_database, "SELECT version_num FROM alembic_version") == "74093bff36e6"
    assert ask(contract_database, "SELECT count(*) FROM pg_tables WHERE tableowner = 'app_owner'") == 0


def test_a_role_of_ours_that_is_a_superuser_is_refused(contract_database: URL) -> None:
    run(contract_database, "ALTER ROLE app_monitor SUPERUSER")
    try:
        with pytest.raises(errors.RoleTooStrong, match="app_monitor"):
            adopt.look(contract_database)
    finally:
        run(contract_database, "ALTER ROLE app_monitor NOSUPERUSER")


def test_a_lost_grant_is_no_adopted_state_and_is_given_again(contract_database: URL) -> None:
    adopt.adopt(contract_database, adopt.look(contract_database))
    run(contract_database, "REVOKE ALL ON media_file FROM app_rw")
    found = adopt.look(contract_database)
    assert not found.done
    assert found.steps() == ["make 1 grants that are missing"]
    adopt.adopt(contract_database, found)
    assert adopt.look(contract_database).done
    assert ask(contract_database, "SELECT has_table_privilege('app_rw', 'media_file', 'INSERT')") is True


def test_of_revisions_with_the_same_structure_the_stated_one_counts(
    migrated: Callable[[str], URL], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A revision that changes rows alone must not be skipped because its catalog is that of the one before."""
    url = migrated("0009")
    recorded = catalog.recorded
    monkeypatch.setattr(catalog, "recorded", lambda name: recorded("0009" if name == "0010" else name))
    assert adopt.look(url).revision.id == "0009"
    run(url, "UPDATE alembic_version SET version_num = '0001'")
    assert adopt.look(url).revision.id == "0009"


def test_an_owner_whose_name_needs_quotes_may_adopt(contract_database: URL, servers: Servers) -> None:
    server, name = servers.owner_of(contract_database), "Open-Transcribe"
    scratch.prepare(contract_database)
    run(
        contract_database,
        f"CREATE ROLE \"{name}\" LOGIN PASSWORD 'secret' IN ROLE app_owner",
        *(f'ALTER TABLE {table} OWNER TO "{name}"' for table in (*TABLES, "alembic_version")),
    )
    url = contract_database.set(username=name, password="secret", host="127.0.0.1", port=server.url.port, query={})  # noqa: S106
    try:
        adopt.adopt(url, adopt.look(url))
        assert adopt.look(url).done
    finally:
        run(contract_database, f'DROP OWNED BY "{name}"', f'DROP ROLE "{name}"')


def test_roles_that_are_there_stay_as_an_operator_has_set_them(contract_database: URL) -> None:
    run(contract_database, "ALTER ROLE app_monitor NOLOGIN", "ALTER ROLE app_monitor SET statement_timeout = '77s'")
    try:
        adopt.adopt(contract_database, adopt.look(contract_database))
        assert ask(contract_database, "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'app_monitor'") is False
        assert "77s" in str(ask(contract_database, "SELECT rolconfig FROM pg_roles WHERE rolname = 'app_monitor'"))
    finally:
        run(contract_database, "ALTER ROLE app_monitor LOGIN", "ALTER ROLE app_monitor SET statement_timeout = '10s'")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("ALTER TABLE transcript_segment DISABLE TRIGGER ALL", "not enforced: its triggers are disabled"),
        ("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'tag_name_key'::regclass", "UNIQUE (name) INVALID"),
        ("CREATE SCHEMA x; CREATE TABLE x.kid () INHERITS (public.tag)", "table, inherited by x.kid"),
        ("CREATE AGGREGATE public.total (int) (sfunc = int4pl, stype = int)", "found: aggregate"),
    ],
)
def test_drift_that_is_easily_overlooked_is_seen(contract_database: URL, change: str, line: str) -> None:
    run(contract_database, change)
    with pytest.raises(errors.SchemaUnmatched) as caught:
        adopt.look(contract_database)
    assert any(line in difference for difference in caught.value.differences), caught.value.differences
