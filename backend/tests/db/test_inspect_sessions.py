from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from app.db import scratch
from app.db.findings import Level, Limits
from app.db.inspect import inspect
from app.db.sections import blocking_tree
from tests.db.sessions import (
    connected,
    dsn,
    found,
    in_transaction,
    problems,
    rows,
    run,
    said,
    waiting,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import URL


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
