from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg2
import pytest

from app.db.findings import Level, Limits
from app.db.inspect import inspect
from tests.db.sessions import (
    FOREIGN_SQL,
    found,
    in_transaction,
    problems,
    rows,
    run,
    waiting,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import URL


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
    assert set(unused) == {"media_file_search_idx", "task_unfinished_idx", "transcript_segment_search_idx"}
    assert "never used" in unused["transcript_segment_search_idx"].reason
    run(
        database,
        "SET enable_seqscan = off",
        "SELECT 1 FROM transcript_segment WHERE to_tsvector('simple', text) @@ to_tsquery('simple', 'word')",
    )
    assert set(found(database, "indexes", limits)) == {"media_file_search_idx", "task_unfinished_idx"}


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
