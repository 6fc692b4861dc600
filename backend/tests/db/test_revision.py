"""`db revision`: the next migration is compared with what the chain makes, numbered, recorded, and finished by hand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from app.db import chain
from tests.db.rows import run

if TYPE_CHECKING:
    import subprocess

    from sqlalchemy import URL

    from tests.db.tree import Tree
    from tests.servers import Servers

MEDIA = "backend/app/models/media.py"
SQL = "database/init_db.sql"
NEXT = f"{int(chain.head().id) + 1:04d}"
FIELD = "    description: Mapped[str | None] = mapped_column(Text)\n"


def revision(tree: Tree, servers: Servers, *words: str) -> subprocess.CompletedProcess[str]:
    """`db revision words` with scratch databases on the test server."""
    server = servers.get(18).url.render_as_string(hide_password=False)
    return tree.run(["-m", "app.db.revision", "--dsn", server, *words])


def test_a_column_that_sql_and_models_have_becomes_a_migration(tree: Tree, servers: Servers) -> None:
    tree.change(MEDIA, FIELD, FIELD + "    mood: Mapped[str | None] = mapped_column(String(20))\n")
    tree.change(SQL, "    description        text,", "    description        text,\n    mood varchar(20),")
    written = revision(tree, servers, "-m", "Mood: how a recording feels", "--json")
    assert written.returncode == 0, written.stderr
    data: dict[str, Any] = json.loads(written.stdout)
    assert data["revision"] == NEXT
    assert data["missing"] == []
    file, record = data["written"]
    text = (tree.root / file).read_text()
    assert file.startswith(f"backend/alembic/versions/{NEXT}_mood")
    assert "op.add_column('media_file', sa.Column('mood', sa.String(length=20), nullable=True))" in text
    assert "oldest_release = '0.1.0'" in text
    assert "The budget for a lock is 2 s" in text
    assert json.loads((tree.root / record).read_text())["column media_file.mood"] == "character varying(20)"


def test_what_the_comparison_cannot_see_is_listed_and_recorded_when_written_by_hand(
    tree: Tree, servers: Servers
) -> None:
    tree.change(SQL, "NEW.updated_at := CURRENT_TIMESTAMP", "NEW.updated_at := clock_timestamp()")
    assert revision(tree, servers, "-m", "Clock").returncode == 2  # the models have nothing new
    written = revision(tree, servers, "-m", "Clock", "--empty", "--json")
    assert written.returncode == 0, written.stderr
    data = json.loads(written.stdout)
    assert [(each["file"], each["subject"]) for each in data["missing"]] == [(SQL, "function touch_updated_at()")]
    body = (tree.root / SQL).read_text().split("CREATE FUNCTION", 1)[1].split("COMMENT ON", 1)[0].strip().rstrip(";")
    path = tree.root / data["written"][0]
    path.write_text(
        path.read_text().replace("    pass\n", f'    op.execute("""CREATE OR REPLACE FUNCTION {body}""")\n', 1)
    )
    recorded = revision(tree, servers, "--record", "--json")
    assert recorded.returncode == 0, recorded.stderr
    assert json.loads(recorded.stdout)["missing"] == []


def test_nothing_new_writes_nothing(tree: Tree, servers: Servers) -> None:
    before = sorted((tree.root / "backend/alembic/versions").iterdir())
    ended = revision(tree, servers, "-m", "Nothing")
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[0] == "the models have nothing that the newest revision hasn't"
    assert sorted((tree.root / "backend/alembic/versions").iterdir()) == before


def test_it_wants_a_subject(tree: Tree, servers: Servers) -> None:
    ended = revision(tree, servers)
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 2


def test_alembic_itself_refuses_to_compare_with_a_database_that_was_reset_to_new_sql(tree: Tree, database: URL) -> None:
    """Against such a database the comparison would find nothing and write an empty migration."""
    run(
        database,
        "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)",
        "ALTER TABLE alembic_version OWNER TO app_owner",
        f"INSERT INTO alembic_version VALUES ('{chain.head().id}')",
        "ALTER TABLE media_file ADD COLUMN mood varchar(20)",
    )
    ended = tree.run(["-m", "alembic", "revision", "--autogenerate", "-m", "mood"], database)
    assert ended.returncode != 0
    assert "column media_file.mood is not expected" in ended.stderr + ended.stdout
    assert len(list((tree.root / "backend/alembic/versions").glob("*.py"))) == len(chain.revisions())
