"""`restore FILE`: dumps of other servers and of ours, loaded beside, proven, swapped in, and taken back."""

from __future__ import annotations

import gzip
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from app.db.binaries import find_server
from app.db.scratch import scratch_server
from tests.e2e.watching import LIVE, NEXT, PREVIOUS, databases, inside, sql

if TYPE_CHECKING:
    from tests.e2e.conftest import MakeStack
    from tests.stacks import Said, Stack

CONTRACT = Path(__file__).resolve().parents[3] / "backend/tests/db/contract.sql"
SEGMENTS = "2000"
MEDIA = "/srv/media/current/user_1/file_1"


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dump of a database as OpenTranscribe makes it, by PostgreSQL 15, with owners and grants that we don't know."""
    file = tmp_path_factory.mktemp("dump") / "opentranscribe.sql"
    bindir = find_server(15)
    with scratch_server(bindir) as server:
        words = [f"host={server.query['host']} port={server.port} user=postgres dbname=postgres"]
        psql = [bindir / "psql", "-Xq", "-v", "ON_ERROR_STOP=1", *words]
        subprocess.run([*psql, "-c", "CREATE ROLE reporting", "-c", "CREATE ROLE scribe"], check=True)
        grant = 'GRANT SELECT ON "user" TO reporting'
        subprocess.run([*psql, "-f", CONTRACT, "-c", grant, "-c", "ALTER TABLE comment OWNER TO scribe"], check=True)
        subprocess.run([bindir / "pg_dump", "--file", file, *words], check=True)
    return file


@pytest.fixture(scope="module")
def prod(stacks: MakeStack) -> Stack:
    """A running prod stack."""
    made = stacks()
    made.done("start", "prod")
    return made


def refused(stack: Stack, file: Path, code: int) -> Said:
    """Restoring the file is refused, and nothing is left of it."""
    said = stack("restore", str(file))
    assert said.returncode == code, said.stderr
    assert NEXT not in databases(stack)
    assert stack("health").returncode == 0
    return said


def test_a_dump_of_postgres_15_becomes_the_live_database_and_is_brought_to_head(dev: Stack, dump: Path):
    inside(dev, "api", "mkdir", "-p", MEDIA)
    inside(dev, "api", "touch", f"{MEDIA}/talk.mp3")
    said = dev("restore", str(dump))
    assert said.returncode == 0, said.stderr
    assert "type ./opentr.sh db adopt, then ./opentr.sh db migrate" in said.stdout
    assert "reporting" in said.stderr
    assert sql(dev, "SELECT count(*) FROM transcript_segment") == SEGMENTS
    dev.done("db", "adopt", "--yes")
    dev.done("db", "migrate")
    assert json.loads(dev.done("db", "current", "--json"))["drift"] == []
    assert sql(dev, "SELECT count(*) FROM transcript_segment") == SEGMENTS
    owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
    assert sql(dev, owners) == "app_owner"
    assert sql(dev, 'SELECT count(*) FROM comment JOIN "user" ON "user".id = comment.user_id') == "20"
    assert dev("health").returncode == 0
    inside(dev, "api", "ls", f"{MEDIA}/talk.mp3")


def test_what_was_live_comes_back_with_its_media(dev: Stack, dump: Path):
    dev.done("reset", "dev")
    inside(dev, "api", "mkdir", "-p", MEDIA)
    inside(dev, "api", "touch", f"{MEDIA}/talk.mp3")
    sql(dev, "INSERT INTO tag (name) VALUES ('precious')")
    dev.done("restore", str(dump))
    inside(dev, "api", "rm", f"{MEDIA}/talk.mp3")
    dev.done("reset", "dev", "--undo")
    assert sql(dev, "SELECT count(*) FROM tag WHERE name = 'precious'") == "1"
    inside(dev, "api", "ls", f"{MEDIA}/talk.mp3")
    assert databases(dev) == {LIVE, PREVIOUS}


def test_a_dump_that_was_cut_off_is_refused_before_anything(dev: Stack, dump: Path, tmp_path: Path):
    cut = tmp_path / "cut.sql.gz"
    cut.write_bytes(gzip.compress(dump.read_bytes()[: dump.stat().st_size // 2]))
    said = refused(dev, cut, 4)
    assert "cut off" in said.stderr


def test_an_error_in_the_middle_is_named_by_its_line_and_changes_nothing(dev: Stack, dump: Path, tmp_path: Path):
    text = dump.read_text()
    line = text[: text.index("COPY public.comment")].count("\n") + 1
    broken = tmp_path / "broken.sql"
    broken.write_text(text.replace("COPY public.comment", "SELECT nonsense;\nCOPY public.comment", 1))
    said = refused(dev, broken, 1)
    assert f"line {line}: " in said.stderr
    assert 'column "nonsense" does not exist' in said.stderr


def test_a_dump_of_something_else_is_refused(dev: Stack, tmp_path: Path):
    other = tmp_path / "other.sql"
    other.write_text(
        "--\n-- PostgreSQL database dump\n--\nCREATE TABLE public.other (a integer);\n"
        "--\n-- PostgreSQL database dump complete\n--\n"
    )
    assert "public.media_file" in refused(dev, other, 4).stderr


def test_prod_takes_a_dump_of_its_own_with_its_receipt_and_serves(prod: Stack):
    sql(prod, "INSERT INTO tag (name) VALUES ('precious')")
    made = json.loads(prod.done("reset", "prod", "--confirm", "prod", "--json"))
    file = made["dump"]["file"]
    assert sql(prod, "SELECT count(*) FROM tag WHERE name = 'precious'") == "0"
    said = prod("restore", "prod", file)
    assert said.returncode == 3
    assert "rows" in said.stderr
    told = json.loads(prod.done("restore", "prod", file, "--confirm", "prod", "--json"))
    assert told["serves"]
    assert sql(prod, "SELECT count(*) FROM tag WHERE name = 'precious'") == "1"
    assert prod("health", "prod").returncode == 0
    assert json.loads(prod.done("db", "current", "prod", "--json"))["drift"] == []


def test_prod_stays_closed_on_a_database_that_has_to_be_adopted(prod: Stack, dump: Path):
    sql(prod, f"DROP DATABASE IF EXISTS {PREVIOUS} WITH (FORCE)", "postgres")
    told = json.loads(prod.done("restore", "prod", str(dump), "--confirm", "prod", "--json"))
    assert not told["serves"]
    running = {name for name, each in prod.containers().items() if each.state == "running"}
    assert running == {"postgres", "pgbouncer", "redis", "backup"}
    prod.done("db", "adopt", "prod", "--yes", "--confirm", "prod")
    prod.done("migrate", "prod")
    assert prod("health", "prod").returncode == 0
    assert sql(prod, "SELECT count(*) FROM transcript_segment") == SEGMENTS


def recorded(stack: Stack, text: str) -> None:
    """A recording is stored, as the app does it."""
    inside(stack, "api", "mkdir", "-p", MEDIA)
    inside(stack, "api", "sh", "-c", f'echo "$1" >{MEDIA}/talk.new; mv {MEDIA}/talk.new {MEDIA}/talk.mp3', "sh", text)


def test_a_dump_that_a_reset_made_has_its_recordings_again(prod: Stack):
    sql(prod, f"DROP DATABASE IF EXISTS {PREVIOUS} WITH (FORCE)", "postgres")
    recorded(prod, "before the reset")
    made = json.loads(prod.done("reset", "prod", "--confirm", "prod", "--json"))
    recorded(prod, "after the reset")  # it has the first one's name: the keys are made of ids
    said = prod("restore", "prod", made["dump"]["file"], "--confirm", "prod", "--json")
    assert said.returncode == 0, said.stderr
    assert "of the same names as some of this one's: 1;" in said.stderr
    assert inside(prod, "api", "cat", f"{MEDIA}/talk.mp3") == "before the reset"
    previous = MEDIA.replace("current", "previous")
    assert inside(prod, "api", "cat", f"{previous}/talk.mp3") == "after the reset"


def test_a_cluster_from_before_a_reset_has_its_recordings_again_and_so_has_what_is_put_back(prod: Stack):
    sql(prod, f"DROP DATABASE IF EXISTS {PREVIOUS} WITH (FORCE)", "postgres")
    recorded(prod, "before the backup")
    prod.done("backup", "prod")
    prod.done("reset", "prod", "--confirm", "prod")
    recorded(prod, "after the reset")
    told = json.loads(prod.done("restore", "prod", "--backup", "newest", "--confirm", "prod", "--json"))
    assert told["media"] == "changed"
    assert inside(prod, "api", "cat", f"{MEDIA}/talk.mp3") == "before the backup"
    prod.done("restore", "prod", "--undo", "--confirm", "prod")
    assert inside(prod, "api", "cat", f"{MEDIA}/talk.mp3") == "after the reset"
