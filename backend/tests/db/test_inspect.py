from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import re
import struct
import subprocess
import sys
import termios
import threading
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest

from app.db import binaries, chain, command, errors, scratch
from app.db import inspect as verb
from app.db.findings import Level, Limits
from app.db.inspect import Finding, Inspection, inspect
from app.db.sections import NAMES, SECTIONS, blocking_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import URL, Connection

    from tests.servers import Servers

SCRIPT = binaries.CHECKOUT / "scripts" / "db_inspect.py"
FOREIGN_SQL = """
CREATE SCHEMA "odd schema";
CREATE TABLE "odd schema"."100% ""Odd"":x" (id smallint GENERATED ALWAYS AS IDENTITY, "a%s" int);
INSERT INTO "odd schema"."100% ""Odd"":x" ("a%s") SELECT generate_series(1, 7);
CREATE TABLE parts (id bigint, at date) PARTITION BY RANGE (at);
CREATE TABLE parts_one PARTITION OF parts FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE INDEX ON parts (at);
CREATE MATERIALIZED VIEW made AS SELECT 1 AS one;
CREATE MATERIALIZED VIEW unmade AS SELECT 1 AS one WITH NO DATA;
CREATE TABLE ruled (id int);
ALTER TABLE ruled ENABLE ROW LEVEL SECURITY;
CREATE SEQUENCE falling INCREMENT BY -1;
"""


@contextlib.contextmanager
def connected(url: URL, *, autocommit: bool = True, name: str = "tests") -> Iterator[Any]:
    words = url.translate_connect_args(username="user", database="dbname") | dict(url.query)
    connection = psycopg2.connect(**words, application_name=name)
    connection.autocommit = autocommit
    try:
        yield connection
    finally:
        connection.close()


def run(url: URL, *statements: str) -> Any:  # noqa: ANN401 - whatever the last one answers
    """Runs the statements; what they count is in the server's figures when this returns."""
    with connected(url) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        answer = cursor.fetchall() if cursor.description else None
        if connection.server_version >= 150000:
            cursor.execute("SELECT pg_stat_force_next_flush()")
    return answer


@contextlib.contextmanager
def in_transaction(url: URL, statement: str, name: str = "tests") -> Iterator[int]:
    """A session that has done this and is idle in its transaction; yields its pid."""
    with connected(url, autocommit=False, name=name) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        yield connection.info.backend_pid


@contextlib.contextmanager
def waiting(url: URL, statement: str) -> Iterator[int]:
    """A session that waits for a lock with this statement; yields its pid."""
    with connected(url, name="waiting") as connection:
        pid = connection.info.backend_pid
        thread = threading.Thread(target=_ignoring_the_end, args=(connection, statement))
        thread.start()
        try:
            until(url, f"SELECT 1 FROM pg_locks WHERE pid = {pid} AND NOT granted")  # noqa: S608 - our own words
            yield pid
        finally:
            run(url, f"SELECT pg_terminate_backend({pid})")
            thread.join()


def _ignoring_the_end(connection: Any, statement: str) -> None:  # noqa: ANN401
    with contextlib.suppress(psycopg2.Error), connection.cursor() as cursor:
        cursor.execute(statement)


def until(url: URL, question: str) -> Any:  # noqa: ANN401
    """Asks until there is an answer."""
    with connected(url) as connection, connection.cursor() as cursor:
        while True:
            cursor.execute(question)
            if answer := cursor.fetchall():
                return answer[0][0]


def found(url: URL, section: str, limits: Limits | None = None) -> dict[str, Finding]:
    """The findings of one section by their subjects."""
    return {finding.subject: finding for finding in inspect(url, [section], limits).findings}


def rows(inspection: Inspection, section: str) -> list[dict[str, Any]]:
    return next(result.rows for result in inspection.results if result.section.name == section)


def problems(inspection: Inspection) -> dict[str, str]:
    return {result.section.name: result.problem for result in inspection.results if result.problem}


def said(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert command.run(verb.parser(), verb.act, argv) == 0
    return capsys.readouterr().out


def dsn(url: URL) -> str:
    return url.render_as_string(hide_password=False)


# Any database ---------------------------------------------------------------------------------------------------------


def test_fresh_schema_needs_nothing_but_a_revision(database: URL):
    inspection = inspect(database)
    assert problems(inspection) == {}
    assert [result.section.name for result in inspection.results] == list(NAMES)
    assert {finding.section for finding in inspection.findings} <= {"revision", "server"}
    assert {row["table"]: (row["rows"], row["rows_are"]) for row in rows(inspection, "tables")}["tag"] == (4, "exact")


def test_empty_database(empty_database: URL):
    inspection = inspect(empty_database)
    assert problems(inspection) == {}
    assert rows(inspection, "tables") == rows(inspection, "indexes") == rows(inspection, "sequences") == []
    assert rows(inspection, "revision")[0]["state"] == "none"


def test_foreign_database_with_odd_names(empty_database: URL):
    run(empty_database, FOREIGN_SQL)
    inspection = inspect(empty_database)
    assert problems(inspection) == {}
    tables = {row["table"]: row for row in rows(inspection, "tables")}
    assert (tables['100% "Odd":x']["rows"], tables['100% "Odd":x']["rows_are"]) == (7, "exact")
    assert tables["parts"]["kind"] == "partitioned table"
    assert tables["unmade"]["countable"] is False
    assert {row["sequence"]: row["end_value"] for row in rows(inspection, "sequences")} == {
        '100% "Odd":x_id_seq': 32767,
        "falling": -(2**63),
    }


def test_postgres_15(servers: Servers):
    with servers.with_head(15).clone("opentr_template_head") as url, in_transaction(url, "SELECT 1"):
        inspection = inspect(url, limits=Limits(idle_seconds=(0, 0)))
        assert problems(inspection) == {}
        assert "without data checksums" in found(url, "server")[str(url.database)].reason
        assert [finding.section for finding in inspection.findings if finding.level is Level.WARNING] == [
            "transactions"
        ]


def test_through_a_pool_nothing_is_left_behind(pooled_database: URL):
    settings = "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'), current_setting('role')"
    before = run(pooled_database, settings)
    inspection = inspect(pooled_database)
    assert problems(inspection) == {}
    assert run(pooled_database, settings) == before


def test_every_transaction_is_read_only(database: URL, monkeypatch: pytest.MonkeyPatch):
    def write(connection: Connection, *_: object) -> list[Any]:
        connection.exec_driver_sql("CREATE TABLE made_by_inspect ()")
        return []

    section = next(section for section in SECTIONS if section.name == "cache")
    monkeypatch.setattr(verb, "SECTIONS", [dataclasses.replace(section, ask=write)])
    assert "read-only" in problems(inspect(database))["cache"]


# Revision -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("versions", "state", "level"),
    [
        (["head"], "head", Level.OK),
        (["first"], "behind", Level.NOTICE),
        (["head", "first"], "several", Level.WARNING),
        (["74093bff36e6"], "newer", Level.WARNING),
        ([], "none", Level.NOTICE),
    ],
)
def test_revision_against_head(database: URL, versions: list[str], state: str, level: Level):
    ids = {"head": chain.head().id, "first": chain.revisions()[0].id}
    run(database, "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
    for version in versions:
        run(database, f"INSERT INTO alembic_version VALUES ('{ids.get(version, version)}')")  # noqa: S608 - our own words
    (result,) = inspect(database, ["revision"]).results
    assert (result.rows[0]["state"], result.level) == (state, level)
    if state == "behind":
        assert result.rows[0]["pending"] == [revision.id for revision in chain.revisions()[1:]]


def test_revision_that_no_release_has(empty_database: URL):
    run(
        empty_database,
        "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)",
        "INSERT INTO alembic_version VALUES ('74093bff36e6')",
    )
    assert "no such revision" in found(empty_database, "revision")["74093bff36e6"].reason


# Tables and indexes ---------------------------------------------------------------------------------------------------


def test_dead_rows(database: URL):
    run(
        database,
        "INSERT INTO tag (name) SELECT 'tag ' || n FROM generate_series(1, 3000) AS n",
        "DELETE FROM tag WHERE name LIKE 'tag %'",
    )
    finding = found(database, "tables")["tag"]
    assert finding.level is Level.WARNING
    assert "100.0 % of its rows are dead (3,000)" in finding.reason
    run(database, "VACUUM tag")
    assert "tag" not in found(database, "tables")


def test_table_that_was_never_analyzed(database: URL):
    run(database, "INSERT INTO tag (name) SELECT 'tag ' || n FROM generate_series(1, 3000) AS n")
    assert "never analyzed" in found(database, "tables")["tag"].reason
    run(database, "ANALYZE tag")
    assert found(database, "tables") == {}


def test_rows_are_exact_up_to_the_limit_and_estimated_beyond(database: URL):
    def tag_rows() -> tuple[int, str]:
        (row,) = [row for row in rows(inspect(database, ["tables"]), "tables") if row["table"] == "tag"]
        return row["rows"], row["rows_are"]

    run(
        database,
        "DELETE FROM tag",
        "INSERT INTO tag (name) SELECT n FROM generate_series(1, 10000) AS n",
        "ANALYZE tag",
    )
    assert tag_rows() == (10_000, "exact")
    run(database, "INSERT INTO tag (name) VALUES ('one more')")
    assert tag_rows() == (10_000, "estimate")
    run(database, "ANALYZE tag")
    assert tag_rows() == (10_001, "estimate")


def test_a_table_held_exclusively_is_not_waited_for(database: URL):
    with in_transaction(database, "LOCK TABLE media_file"):
        inspection = inspect(database, ["tables", "indexes"], Limits(lock_seconds=60, statement_seconds=60))
    assert problems(inspection) == {}
    held = {row["table"]: row for row in rows(inspection, "tables")}["media_file"]
    assert (held["total_bytes"], held["countable"]) == (None, False)
    assert {row["table"] for row in rows(inspection, "indexes") if row["bytes"] is None} == {"media_file"}
    assert [finding.subject for finding in inspection.findings] == ["media_file"]


def test_invalid_index(database: URL):
    run(
        database, "INSERT INTO \"user\" (email, hashed_password, full_name) VALUES ('a', '', 'same'), ('b', '', 'same')"
    )
    with pytest.raises(psycopg2.errors.UniqueViolation):
        run(database, 'CREATE UNIQUE INDEX CONCURRENTLY user_full_name_idx ON "user" (full_name)')
    finding = found(database, "indexes")["user_full_name_idx"]
    assert finding.level is Level.WARNING
    assert "INVALID" in finding.reason


def test_an_index_in_the_making_is_no_failed_one(database: URL):
    with (
        in_transaction(database, "INSERT INTO tag (name) VALUES ('new')"),
        waiting(database, "CREATE INDEX CONCURRENTLY tag_created_at_idx ON tag (created_at)"),
    ):
        finding = found(database, "indexes")["tag_created_at_idx"]
    assert (finding.level, finding.reason) == (Level.NOTICE, "is being built")


def test_unused_index(database: URL):
    limits = Limits(unused_index_bytes=1)
    unused = found(database, "indexes", limits)
    assert set(unused) == {"media_file_search_idx", "transcript_segment_search_idx"}
    assert "never used" in unused["transcript_segment_search_idx"].reason
    run(
        database,
        "SET enable_seqscan = off",
        "SELECT 1 FROM transcript_segment WHERE to_tsvector('simple', text) @@ to_tsquery('simple', 'word')",
    )
    assert set(found(database, "indexes", limits)) == {"media_file_search_idx"}


def test_foreign_key_without_an_index(database: URL):
    assert found(database, "foreign-keys") == {}
    run(database, "DROP INDEX comment_user_id_idx")
    finding = found(database, "foreign-keys")["comment_user_id_fkey"]
    assert finding.level is Level.NOTICE
    assert "(user_id)" in finding.reason
    assert found(database, "foreign-keys", Limits(foreign_key_rows=0))["comment_user_id_fkey"].level is Level.WARNING


@pytest.mark.parametrize(
    ("index", "serves"),
    [
        ("comment (user_id, text)", True),
        ("comment USING hash (user_id)", True),
        ("comment (user_id) WHERE user_id IS NOT NULL", True),
        ("comment (text, user_id)", False),
        ("comment (text) INCLUDE (user_id)", False),
        ("comment (user_id) WHERE id > 5", False),
        ("comment USING brin (user_id)", False),
    ],
)
def test_which_indexes_serve_a_foreign_key(database: URL, index: str, serves: bool):  # noqa: FBT001
    run(database, "DROP INDEX comment_user_id_idx", f"CREATE INDEX ON {index}")
    assert ("comment_user_id_fkey" not in found(database, "foreign-keys")) is serves


def test_an_invalid_index_serves_no_foreign_key(database: URL):
    run(
        database,
        "INSERT INTO \"user\" (id, email, hashed_password, full_name) VALUES (1, '', '', '')",
        "INSERT INTO speaker (user_id, name, uuid) VALUES (1, '', 'a'), (1, '', 'b')",
        "DROP INDEX speaker_user_id_idx",
    )
    with pytest.raises(psycopg2.errors.UniqueViolation):
        run(database, "CREATE UNIQUE INDEX CONCURRENTLY ON speaker (user_id)")
    assert set(found(database, "foreign-keys")) == {"speaker_user_id_fkey"}


def test_a_foreign_key_of_two_columns_needs_both_in_the_index(empty_database: URL):
    run(
        empty_database,
        "CREATE TABLE whole (a int, b int, PRIMARY KEY (a, b))",
        "CREATE TABLE part (a int, b int, FOREIGN KEY (a, b) REFERENCES whole)",
        "CREATE INDEX ON part (a) INCLUDE (b)",
    )
    assert set(found(empty_database, "foreign-keys")) == {"part_a_b_fkey"}
    run(empty_database, "CREATE INDEX ON part (b, a)")
    assert found(empty_database, "foreign-keys") == {}


def test_a_partitioned_table_has_its_foreign_key_once(empty_database: URL):
    run(empty_database, FOREIGN_SQL, "CREATE TABLE whole (id bigint PRIMARY KEY)")
    run(empty_database, "ALTER TABLE parts ADD FOREIGN KEY (id) REFERENCES whole")
    assert [row["table"] for row in rows(inspect(empty_database, ["foreign-keys"]), "foreign-keys")] == ["parts"]


def test_rows_that_a_policy_may_hide_are_not_counted(database: URL, as_role: Callable[[URL, str], URL]):
    run(database, "ALTER TABLE tag ENABLE ROW LEVEL SECURITY")
    kinds = {row["table"]: row["rows_are"] for row in rows(inspect(as_role(database, "app_ro"), ["tables"]), "tables")}
    assert (kinds["tag"], kinds["comment"]) == ("estimate", "exact")


def test_sequence_near_its_end(database: URL):
    run(database, "SELECT setval('tag_id_seq', 2000000000)")
    finding = found(database, "sequences")["tag_id_seq"]
    assert finding.level is Level.WARNING
    assert "93.1 % of the numbers of public.tag.id" in finding.reason


def test_a_bigint_sequence_ends_with_its_integer_column(database: URL):
    run(
        database,
        "CREATE SEQUENCE shared",
        "CREATE TABLE narrow (id integer DEFAULT nextval('shared'))",
        "CREATE TABLE wide (id bigint DEFAULT nextval('shared'))",
        "SELECT setval('shared', 1200000000)",
    )
    findings = inspect(database, ["sequences"]).findings
    assert [(finding.subject, finding.level) for finding in findings] == [("shared", Level.NOTICE)]
    assert "public.narrow.id" in findings[0].reason


def test_a_sequence_that_starts_again_has_no_end(database: URL):
    run(database, "CREATE SEQUENCE circle MAXVALUE 10 CYCLE", "SELECT setval('circle', 10)")
    assert found(database, "sequences") == {}


# Sessions -------------------------------------------------------------------------------------------------------------


def test_idle_in_transaction(database: URL):
    with connected(database, name="merely idle"), in_transaction(database, "SELECT 'told'", name="forgetful") as pid:
        (row,) = rows(inspect(database, ["transactions"]), "transactions")
        assert (row["state"], row["role"], row["application"], row["query"]) == (
            "idle in transaction",
            "postgres",
            "forgetful",
            "SELECT 'told'",
        )
        assert found(database, "transactions") == {}
        finding = found(database, "transactions", Limits(idle_seconds=(0, 0)))[f"{pid} postgres forgetful"]
    assert finding.level is Level.WARNING
    assert f"pg_terminate_backend({pid})" in finding.reason


def test_long_transaction(database: URL):
    with in_transaction(database, "LOCK TABLE tag"), waiting(database, "SELECT FROM tag") as pid:
        assert found(database, "transactions") == {}
        finding = found(database, "transactions", Limits(transaction_seconds=(0, 1000)))[f"{pid} postgres waiting"]
    assert finding.level is Level.NOTICE
    assert f"pg_cancel_backend({pid})" in finding.reason


def test_blocking_pair(database: URL):
    with in_transaction(database, "LOCK TABLE tag", name="forgetful") as blocker:
        assert rows(inspect(database, ["locks"]), "locks") == []
        with waiting(database, "DELETE FROM tag") as blocked:
            inspection = inspect(database, ["locks"])
    first, second = rows(inspection, "locks")
    assert (first["pid"], first["depth"], first["query"]) == (blocker, 0, "LOCK TABLE tag")
    assert (second["pid"], second["depth"], second["query"]) == (blocked, 1, "DELETE FROM tag")
    assert (second["blocked_by"], second["wants"]) == ([blocker], "RowExclusiveLock on tag")
    levels = {finding.subject: finding.level for finding in inspection.findings}
    assert levels == {f"{blocker} postgres forgetful": Level.WARNING, f"{blocked} postgres waiting": Level.NOTICE}


def test_a_long_wait_is_a_warning(database: URL):
    with in_transaction(database, "LOCK TABLE tag"), waiting(database, "DELETE FROM tag") as blocked:
        assert found(database, "locks", Limits(wait_seconds=0))[f"{blocked} postgres waiting"].level is Level.WARNING


def test_who_waits_for_a_row_waits_for_its_transaction(database: URL):
    with (
        in_transaction(database, "UPDATE tag SET name = 'x' WHERE name = 'Meeting'") as blocker,
        waiting(database, "UPDATE tag SET name = 'y' WHERE name = 'Meeting'"),
    ):
        (row,) = [row for row in rows(inspect(database, ["locks"]), "locks") if row["blocked_by"]]
    assert (row["blocked_by"], row["wants"]) == ([blocker], "ShareLock on transactionid")


def test_blocking_tree_stands_below_its_roots_and_keeps_circles():
    sessions = [
        {"pid": 3, "blocked_by": [2]},
        {"pid": 2, "blocked_by": [1]},
        {"pid": 1, "blocked_by": []},
        {"pid": 4, "blocked_by": [1, 2]},
        {"pid": 8, "blocked_by": [9]},
        {"pid": 9, "blocked_by": [8]},
    ]
    ordered = [(row["pid"], row["depth"]) for row in blocking_tree(sessions)]
    assert ordered == [(1, 0), (2, 1), (3, 2), (4, 2), (8, 0), (9, 1)]


def test_restricted_role_sees_hidden_and_the_missing_grant(
    database: URL, as_role: Callable[[URL, str], URL], capsys: pytest.CaptureFixture[str]
):
    restricted = as_role(database, "app_ro")
    with in_transaction(database, "LOCK TABLE tag"), waiting(database, "SELECT 'secret' FROM tag"):
        inspection = inspect(restricted)
        text = said(capsys, "--dsn", dsn(restricted))
    assert problems(inspection) == {}
    grants = [finding for finding in inspection.findings if "GRANT pg_read_all_stats TO app_ro" in finding.reason]
    assert [finding.section for finding in grants] == ["connections", "transactions", "locks"]
    assert {row["query"] for row in rows(inspection, "locks")} == {None}
    assert "<hidden>" in text
    assert "secret" not in text


def test_role_without_any_right_says_what_is_missing(database: URL, as_role: Callable[[URL, str], URL]):
    run(database, "CREATE TABLE alembic_version (version_num varchar(32))")
    inspection = inspect(as_role(database, "app_monitor"))
    assert set(problems(inspection)) == {"revision"}
    assert "the role app_monitor may not see this" in problems(inspection)["revision"]
    assert {row["rows_are"] for row in rows(inspection, "tables")} <= {"estimate", "unknown"}
    assert {row["countable"] for row in rows(inspection, "tables")} == {False}
    (finding,) = [finding for finding in inspection.findings if finding.section == "sequences"]
    assert "GRANT SELECT ON ALL SEQUENCES" in finding.reason


def test_migrator_looks_with_its_own_rights(database: URL, as_role: Callable[[URL, str], URL]):
    with in_transaction(database, "SELECT 'told'"):
        inspection = inspect(as_role(database, "app_migrator"))
    assert inspection.role == "app_migrator"
    assert [row["query"] for row in rows(inspection, "transactions")] == ["SELECT 'told'"]
    assert {row["rows_are"] for row in rows(inspection, "tables")} == {"exact"}


# Limits of our own ----------------------------------------------------------------------------------------------------

HELD_CATALOG = "LOCK TABLE pg_catalog.pg_sequence IN ACCESS EXCLUSIVE MODE"


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ("", {"statement_timeout": "5s", "lock_timeout": "1s"}),
        ("-c statement_timeout=200", {"statement_timeout": "200ms", "lock_timeout": "1s"}),
        ("-c statement_timeout=60s -c lock_timeout=10s", {"statement_timeout": "5s", "lock_timeout": "1s"}),
    ],
    ids=["none", "shorter", "longer"],
)
def test_limits_of_a_query_are_ours_unless_the_role_has_shorter_ones(
    database: URL, own: str, expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    seen: dict[str, str] = {}

    def look(connection: Connection, *_: object) -> list[Any]:
        for name in expected:
            seen[name] = connection.exec_driver_sql(f"SHOW {name}").scalar_one()
        return []

    section = next(section for section in SECTIONS if section.name == "cache")
    monkeypatch.setattr(verb, "SECTIONS", [dataclasses.replace(section, ask=look)])
    assert problems(inspect(database.update_query_dict({"options": own}))) == {}
    assert seen == expected


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(statement_seconds=0.2, lock_seconds=60), "timed out"),
        (Limits(statement_seconds=60, lock_seconds=0.2), "waited 0.2 s for a lock"),
    ],
)
def test_section_that_takes_too_long_says_so_and_the_others_go_on(database: URL, limits: Limits, words: str):
    with in_transaction(database, HELD_CATALOG):
        inspection = inspect(database, limits=limits)
    assert set(problems(inspection)) == {"sequences"}
    assert words in problems(inspection)["sequences"]
    assert rows(inspection, "wraparound")
    assert (inspection.findings[0].section, inspection.findings[0].level) == ("sequences", Level.WARNING)


def test_lost_connection_is_a_typed_error(database: URL):
    outcome: list[BaseException] = []

    def look() -> None:
        try:
            inspect(database, limits=Limits(statement_seconds=60, lock_seconds=60))
        except errors.DbError as error:
            outcome.append(error)

    with in_transaction(database, HELD_CATALOG):
        thread = threading.Thread(target=look)
        thread.start()
        hangs = "application_name = 'opentr inspect' AND wait_event_type = 'Lock'"
        pid = until(database, f"SELECT pid FROM pg_stat_activity WHERE {hangs}")  # noqa: S608 - our own words
        run(database, f"SELECT pg_terminate_backend({pid})")
        thread.join()
    assert [type(error) for error in outcome] == [errors.ServerUnreachable]


# A server of another kind ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small_server() -> Iterator[URL]:
    """With prepared transactions, few connections and no checksums."""
    settings = {"max_prepared_transactions": "2", "max_connections": "12", "superuser_reserved_connections": "3"}
    with scratch.scratch_server(settings=settings) as url:
        yield url


def test_prepared_transaction(small_server: URL):
    with scratch.scratch_database(small_server) as url:
        run(url, "CREATE TABLE held ()")
        assert found(url, "prepared") == {}
        run(url, "BEGIN; LOCK TABLE held; PREPARE TRANSACTION 'left behind'")
        try:
            finding = found(url, "prepared")["left behind"]
            assert finding.level is Level.NOTICE
            assert found(url, "prepared", Limits(prepared_seconds=(0, 0)))["left behind"].level is Level.WARNING
            with waiting(url, "SELECT FROM held"):
                locks = inspect(url, ["locks"])
        finally:
            run(url, "ROLLBACK PREPARED 'left behind'")
    assert rows(locks, "locks")[0]["pid"] == 0
    assert "a prepared transaction makes others wait" in locks.findings[0].reason


def test_slot_that_nobody_reads(small_server: URL):
    assert found(small_server, "slots") == {}
    run(
        small_server,
        "SELECT pg_create_physical_replication_slot('left_over', true)",
        "CREATE TABLE some_wal AS SELECT 1",
    )
    try:
        finding = found(small_server, "slots")["left_over"]
        warned = found(small_server, "slots", Limits(slot_bytes=(1, 1)))["left_over"]
    finally:
        run(small_server, "DROP TABLE some_wal", "SELECT pg_drop_replication_slot('left_over')")
    assert (finding.level, warned.level) == (Level.NOTICE, Level.WARNING)
    assert "nobody reads" in finding.reason


def test_connections_against_those_that_may_be_taken(small_server: URL):
    assert found(small_server, "connections") == {}
    with contextlib.ExitStack() as stack:
        for _ in range(6):
            stack.enter_context(connected(small_server, name="crowd"))
        assert found(small_server, "connections")["total"].level is Level.NOTICE
        for _ in range(2):
            stack.enter_context(connected(small_server, name="crowd"))
        inspection = inspect(small_server, ["connections"])
    assert inspection.findings[0].level is Level.WARNING
    assert inspection.findings[0].reason == "9 of 9 connections are taken"
    (crowd,) = [row for row in rows(inspection, "connections") if row["application"] == "crowd"]
    assert (crowd["connections"], crowd["role"], crowd["state"]) == (8, "postgres", "idle")


def test_pages_that_did_not_come_from_memory(small_server: URL):
    with scratch.scratch_database(small_server, name="opentr_scratch_source") as source:
        run(source, "CREATE TABLE wide AS SELECT repeat('x', 5000) || n AS filler FROM generate_series(1, 200) AS n")
        run(source, "ALTER TABLE wide SET (autovacuum_enabled = off)")
        run(small_server, f"CREATE DATABASE opentr_scratch_cold TEMPLATE {source.database} STRATEGY file_copy")
    cold = small_server.set(database="opentr_scratch_cold")
    try:
        run(cold, "SELECT count(*) FROM wide")
        finding = found(cold, "cache", Limits(cache_pages=1))["tables"]
        assert finding.level is Level.WARNING
        assert found(cold, "cache") == {}
    finally:
        run(small_server, "DROP DATABASE opentr_scratch_cold WITH (FORCE)")


def test_way_to_wraparound(small_server: URL):
    assert found(small_server, "wraparound") == {}
    assert found(small_server, "wraparound", Limits(wraparound_share=(1e-10, 1)))["postgres"].level is Level.NOTICE


# What people and programs get -----------------------------------------------------------------------------------------


def test_json_is_one_object_with_the_documented_keys(database: URL, capsys: pytest.CaptureFixture[str]):
    with in_transaction(database, "LOCK TABLE tag"), waiting(database, "SELECT FROM tag"):
        data = json.loads(said(capsys, "--dsn", dsn(database), "--json"))
    assert set(data) == {"address", "role", "sections", "findings"}
    assert list(data["sections"]) == list(NAMES)
    assert all(set(section) == {"level", "problem", "rows"} for section in data["sections"].values())
    assert data["sections"]["locks"]["level"] == "warning"
    assert set(data["findings"][0]) == {"section", "subject", "level", "reason"}
    assert data["findings"][0]["level"] == "warning"
    assert isinstance(data["sections"]["tables"]["rows"][-1]["total_bytes"], int)


def test_plain_text_has_no_control_codes_and_ends_with_the_warnings(database: URL, capsys: pytest.CaptureFixture[str]):
    run(database, "SELECT setval('tag_id_seq', 2147483647)")
    text = said(capsys, "--dsn", dsn(database))
    assert "\x1b" not in text
    assert text.isprintable() or set(filter(lambda c: not c.isprintable(), text)) == {"\n"}
    end = text[text.index("Deserves attention: 1 warning (!!)") :].splitlines()
    assert end[2].split()[:3] == ["warning", "sequences", "tag_id_seq"]


def test_sections_can_be_chosen(database: URL, capsys: pytest.CaptureFixture[str]):
    data = json.loads(said(capsys, "--dsn", dsn(database), "--json", "--section", "locks", "cache"))
    assert list(data["sections"]) == ["locks", "cache"]


def test_unknown_section_is_wrong_usage(capsys: pytest.CaptureFixture[str]):
    assert command.run(verb.parser(), verb.act, ["--section", "sequence"]) == 2
    assert "sequences" in capsys.readouterr().err


def test_long_sections_are_cut_in_text_and_whole_in_json(database: URL, capsys: pytest.CaptureFixture[str]):
    run(database, *(f"CREATE SEQUENCE many_{n}" for n in range(40)))
    text = said(capsys, "--dsn", dsn(database), "--section", "sequences")
    assert "and 18 more; --json lists them all" in text
    assert len(re.findall(r"\w+_id_seq|many_\d+", text)) == 30
    data = json.loads(said(capsys, "--dsn", dsn(database), "--section", "sequences", "--json"))
    assert len(data["sections"]["sequences"]["rows"]) == 48


def test_script_runs_from_any_folder(database: URL, tmp_path: Path):
    argv = [sys.executable, SCRIPT, "--dsn", dsn(database), "--section", "revision"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    assert "Revision" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("width", [80, 120])
def test_on_a_terminal_tables_fit_its_width(database: URL, width: int):
    with in_transaction(database, "LOCK TABLE tag"), waiting(database, "SELECT FROM tag /* " + "long " * 40 + "*/"):
        screen = on_terminal([sys.executable, str(SCRIPT), "--dsn", dsn(database)], width)
    assert "\x1b[" in screen
    lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen).split("\r\n")
    assert max(map(len, lines[2:])) <= width  # the first line is the address, which wraps
    assert any("Locks waited for" in line for line in lines)


def on_terminal(argv: list[str], width: int) -> str:
    """What the program prints on a terminal of this width."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    with subprocess.Popen(argv, stdout=theirs, env=environment | {"TERM": "xterm-256color"}):
        os.close(theirs)
        return b"".join(_chunks(ours)).decode()


def _chunks(descriptor: int) -> Iterator[bytes]:
    with contextlib.suppress(OSError), contextlib.closing(os.fdopen(descriptor, "rb", buffering=0)) as stream:
        while chunk := stream.read(65536):
            yield chunk
