# ruff: noqa: E501 - a change a line reads best
"""`db check`: says 0 on the tree, and names the file and the subject after any single change to one of the views."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from app.db import catalog, chain, check, scratch
from app.db.connect import direct

if TYPE_CHECKING:
    from sqlalchemy import URL

    from tests.db.tree import Tree
    from tests.servers import Servers

SQL = "database/init_db.sql"
VERSIONS = "backend/alembic/versions"
MEDIA = "backend/app/models/media.py"
USER = "backend/app/models/user.py"
SCHEMAS = "backend/app/schemas/media.py"
SEGMENTS = f"{VERSIONS}/initial_migration.py"

SINGLE_CHANGES = {
    # init_db.sql
    "sql: a longer type": (SQL, "language           varchar(10)", "language           varchar(12)", "column media_file.language"),
    "sql: a lost default": (SQL, "is_public          boolean DEFAULT false", "is_public          boolean", "column media_file.is_public"),
    "sql: a lost NOT NULL": (SQL, "filename           varchar(255) NOT NULL", "filename           varchar(255)", "column media_file.filename"),
    "sql: a new column": (SQL, "    description        text,", "    description        text,\n    mood text,", "column media_file.mood"),
    "sql: a lost index": (SQL, "CREATE INDEX comment_user_id_idx ON comment (user_id);", "", "index comment_user_id_idx"),
    "sql: another check": (SQL, "progress >= 0 AND progress <= 1", "progress >= 0 AND progress <= 2", "constraint task.task_progress_check"),
    "sql: another action": (SQL, "REFERENCES speaker (id) ON DELETE SET NULL", "REFERENCES speaker (id)", "constraint transcript_segment.transcript_segment_speaker_id_fkey"),
    "sql: a lost unique key": (SQL, "    UNIQUE (media_file_id, tag_id)", "    CHECK (true)", "constraint file_tag.file_tag_media_file_id_tag_id_key"),
    "sql: another function": (SQL, "NEW.updated_at := CURRENT_TIMESTAMP", "NEW.updated_at := clock_timestamp()", "function touch_updated_at()"),
    "sql: a lost comment": (SQL, "COMMENT ON TABLE schema_release IS 'One row: the oldest release that works on this schema. Migrations keep it.';", "", "comment on table schema_release"),
    "sql: another default row": (SQL, "('Personal')", "('Private')", "row of tag"),
    "sql: a grant of its own": (SQL, "-- The schema about itself", "GRANT TRUNCATE ON task TO app_rw;\n-- The schema about itself", "grant on table task to app_rw"),
    "sql: a syntax error": (SQL, "CREATE TABLE speaker (", "CREATE TABEL speaker (", "line 96"),
    # migrations
    "chain: a longer type": (SEGMENTS, "aspect_ratio varchar(20)", "aspect_ratio varchar(21)", "column media_file.aspect_ratio"),
    "chain: a lost index": (f"{VERSIONS}/0004_indexes.py", '    "comment_user_id_idx": "comment (user_id)",\n', "", "index comment_user_id_idx"),
    "chain: a lost trigger": (f"{VERSIONS}/0005_updated_at.py", "TABLES = ('\"user\"', \"task\")", "TABLES = ('\"user\"',)", "trigger task.task_touch_updated_at"),
    "chain: not validated": (f"{VERSIONS}/0008_validate.py", '    ("task", "task_progress_check"),\n', "", "constraint task.task_progress_check"),
    "chain: a broken downgrade": (f"{VERSIONS}/0003_schema_release.py", 'op.execute("DROP TABLE schema_release")', 'op.execute("SELECT 1")', "table schema_release"),
    "chain: a revision that fails": (f"{VERSIONS}/0009_listing_times.py", '{column} SET NOT NULL")', '{column} SET NOT NIL")', "upgrade"),
    # models
    "model: a shorter type": (MEDIA, "aspect_ratio: Mapped[str | None] = mapped_column(String(20))", "aspect_ratio: Mapped[str | None] = mapped_column(String(10))", "column media_file.aspect_ratio"),
    "model: nullable": (MEDIA, "storage_path: Mapped[str]", "storage_path: Mapped[str | None]", "column media_file.storage_path"),
    "model: a lost default": (USER, 'mapped_column(String(50), server_default=text("\'user\'"))', "mapped_column(String(50))", "column user.role"),
    "model: a lost index": (MEDIA, '        Index("task_user_id_created_at_id_idx", "user_id", "created_at", "id"),\n', "", "index task_user_id_created_at_id_idx"),
    "model: another check": (MEDIA, "end_time >= start_time", "end_time > start_time", "constraint transcript_segment.transcript_segment_end_time_check"),
    "model: another action": (MEDIA, 'ForeignKey(Speaker.id, ondelete="SET NULL")', "ForeignKey(Speaker.id)", "constraint transcript_segment.transcript_segment_speaker_id_fkey"),
    "schema: a shorter type": (SCHEMAS, "    storage_path: VarChar500\n    file_size: Int8\n    duration: StoredDouble", "    storage_path: VarChar255\n    file_size: Int8\n    duration: StoredDouble", "MediaFileRead.storage_path"),
    "schema: a lost null": (SCHEMAS, "    duration: StoredDouble | None\n    upload_time", "    duration: StoredDouble\n    upload_time", "MediaFileRead.duration"),
    "schema: a null too many": (SCHEMAS, "    upload_time: Timestamp\n", "    upload_time: Timestamp | None\n", "MediaFileRead.upload_time"),
    "schema: a narrower number": (SCHEMAS, "    file_size: Int8\n    duration: StoredDouble", "    file_size: Int4\n    duration: StoredDouble", "MediaFileRead.file_size"),
    "schema: a column not shown": (SCHEMAS, "    translated_text: Text | None\n    metadata", "    metadata", "MediaFileRead.translated_text"),
    "schema: a field that is no column": (SCHEMAS, "    display_name: VarChar255 | None = None\n", "    display_name: VarChar255 | None = None\n    mood: Text | None = None\n", "SpeakerCreate.mood"),
    "schema: a lost reason": ("backend/app/schemas/user.py", '    not_shown: ClassVar = {"hashed_password": "a secret, even as a hash"}\n', "", "UserRead.hashed_password"),
    "model: another search": (MEDIA, "text(\"'._-'\")", "text(\"'._+'\")", "index media_file_search_idx"),
}  # fmt: skip


def checked(tree: Tree, server: URL) -> tuple[int, list[dict[str, str]]]:
    """Exit code and differences of `db check` on the tree, with scratch databases on `server`."""
    result = tree.run(["-m", "app.db.check", "--json", "--dsn", server.render_as_string(hide_password=False)])
    data: dict[str, Any] = json.loads(result.stdout) if result.stdout else {}
    assert "differences" in data, result.stderr
    return result.returncode, data["differences"]


def test_the_tree_agrees_on_every_server_version(server: URL) -> None:
    with check.scratch_databases(server.render_as_string(hide_password=False)) as make:
        assert check.differences(make) == []


@pytest.mark.parametrize("change", SINGLE_CHANGES.values(), ids=SINGLE_CHANGES)
def test_a_single_change_is_named_by_file_and_subject(
    change: tuple[str, str, str, str], tree: Tree, servers: Servers
) -> None:
    file, old, new, subject = change
    tree.change(file, old, new)
    code, found = checked(tree, servers.get(18).url)
    assert code == 1
    assert {difference["file"] for difference in found} == {file}
    assert any(difference["subject"].startswith(subject) for difference in found), found


def test_sql_and_models_ahead_of_the_migrations_ask_for_a_revision(tree: Tree, servers: Servers) -> None:
    tree.change(SQL, "    description        text,", "    description        text,\n    mood varchar(20),")
    tree.change(
        MEDIA,
        "    description: Mapped[str | None] = mapped_column(Text)\n",
        "    description: Mapped[str | None] = mapped_column(Text)\n    mood: Mapped[str | None] = mapped_column(String(20))\n",
    )
    code, found = checked(tree, servers.get(18).url)
    assert code == 1
    structure = [difference for difference in found if "schemas" not in difference["file"]]
    assert [(difference["file"], difference["subject"]) for difference in structure] == [
        (VERSIONS, "column media_file.mood")
    ]
    assert "type ./opentr.sh db revision -m" in structure[0]["text"]
    assert len(found) == 2  # and no read schema shows it
    assert "schemas" in found[-1]["file"] + found[0]["file"]


def test_a_missing_catalog_says_how_to_record_it(tree: Tree, servers: Servers) -> None:
    (tree.root / "backend/alembic/catalogs/0006.json").unlink()
    code, found = checked(tree, servers.get(18).url)
    assert code == 1
    assert [difference["file"] for difference in found] == ["backend/alembic/catalogs/0006.json"]


def test_a_server_without_our_roles_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with scratch.scratch_server(scratch.find_server(18)) as bare:
        words = ["--dsn", bare.render_as_string(hide_password=False)]
        assert check.command.run(check.parser(), check.act, words) == 2
        assert "that server hasn't our roles" in capsys.readouterr().err
        with direct(bare, "tests") as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM pg_roles WHERE rolname ~ '^app_'").scalar_one() == 0
            assert connection.exec_driver_sql("SELECT count(*) FROM pg_database").scalar_one() == 3


def test_no_scratch_database_stays_behind(server: URL) -> None:
    with check.scratch_databases(server.render_as_string(hide_password=False)) as make:
        check.differences(make)
    with direct(server, "tests") as connection:
        left = connection.exec_driver_sql(
            "SELECT datname FROM pg_database WHERE datname LIKE 'opentr_scratch_%%'"
        ).scalars()
        assert list(left) == []


def test_every_catalog_is_the_same_after_dump_and_restore(database: URL, empty_database: URL) -> None:
    """A definition that the server prints must parse to itself, or a restored database would count as drifted."""
    with direct(database, "tests") as connection:
        wanted = catalog.read_catalog(connection)
    constraints = {subject: text for subject, text in wanted.items() if subject.startswith("constraint ")}
    checks = {subject: text for subject, text in constraints.items() if text.startswith("CHECK")}
    with direct(database, "tests") as connection:
        for subject, text in checks.items():
            table, _, name = subject.removeprefix("constraint ").partition(".")
            connection.exec_driver_sql(
                f"ALTER TABLE {table} DROP CONSTRAINT {name}, ADD CONSTRAINT {name} {text}",
                execution_options={"no_parameters": True},
            )
        for subject, text in wanted.items():
            if subject.startswith("index "):
                connection.exec_driver_sql(
                    f"DROP INDEX {subject.removeprefix('index ')}; {text}", execution_options={"no_parameters": True}
                )
        assert catalog.read_catalog(connection) == wanted
    assert len(checks) == 5
    assert empty_database != database


def test_every_revision_has_its_catalog_and_none_is_left_over() -> None:
    recorded = {path.stem for path in catalog.CATALOGS.glob("*.json")}
    assert recorded == {revision.id for revision in chain.revisions()}
