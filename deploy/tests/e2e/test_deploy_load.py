"""Deploys of prod while its users write and read: whichever way they end, one release serves and no write is lost."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.e2e.deploying import aftermath, at_work, backups, current, loaded, names, revision
from tests.e2e.transcribing import record_long_talk, transcribing
from tests.e2e.watching import LIVE, inside, sql, wait_until
from tests.e2e.writers import faults, visiting, writing
from tests.trees import Tree

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.conftest import MakeStack
    from tests.stacks import Said, Stack

REPOSITORY = "/var/lib/pgbackrest"
REPOSITORY_MB = 256
FILLER = f"{REPOSITORY}/filler"
ARCHIVED = (
    "SELECT last_failed_time IS NULL OR last_archived_time > last_failed_time"
    " FROM pg_stat_archiver WHERE pg_switch_wal() IS NOT NULL"
)
ARCHIVE_SECONDS = 150
"""After three failures Postgres waits for a minute before it tries to archive again."""
DAMAGE = f"""
file=$(find {REPOSITORY}/backup/main/*F/ -path '*/bundle/*' -type f -printf '%T@ %s %p\\n' | sort -n | tail -n 1)
read -r _ size path <<<"$file"
dd if=/dev/urandom of="$path" bs=1024 seek=$((size / 4096)) count=$((size / 2048)) conv=notrunc
"""
"""Makes half of the newest full backup's newest bundle unreadable."""
POISONED = "DO $$ BEGIN IF EXISTS (SELECT FROM tag WHERE name = 'poison') THEN RAISE 'poisoned'; END IF; END $$"
"""A statement that works on an empty database, and fails where this row is."""
POISON = (
    "INSERT INTO tag (name) VALUES ('poison');"
    "INSERT INTO media_file (filename, storage_path, file_size, content_type, user_id)"
    " VALUES ('poison', 'poison', 1, 'audio/wav', 1);"
    "INSERT INTO comment (text, media_file_id, user_id)"
    " SELECT 'poison', id, 1 FROM media_file WHERE filename = 'poison'"
)
CURE = "DELETE FROM tag WHERE name = 'poison'; DELETE FROM media_file WHERE filename = 'poison'"
"""The comment goes with its file."""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """A checkout of this module's, whose prod keeps its backups where little room is."""
    made = Tree.copy_to(tmp_path_factory.mktemp("trees") / "tree")
    memory = f'{{type: tmpfs, device: tmpfs, o: "size={REPOSITORY_MB}m,uid=10001,gid=10001,mode=0750"}}'
    volume = "  backups: {labels: *labels"
    made.change("docker-compose.prod.yml", f"{volume}}}", f"{volume}, driver_opts: {memory}}}")
    return made


@pytest.fixture(scope="module")
def prod(stacks: MakeStack, tree: Tree) -> Stack:
    """A running prod stack of that checkout."""
    return loaded(stacks, tree)


@pytest.fixture(autouse=True)
def _each_for_itself(prod: Stack, tree: Tree) -> Iterator[None]:
    """What a test has spoilt, and the revisions of it that were not reached, are gone before the next one."""
    yield
    sql(prod, CURE)
    while tree.head() > revision(prod):
        tree.drop_revision(tree.head())


@contextmanager
def under_load(prod: Stack) -> Iterator[None]:
    """Users write and read during the block; afterwards one release serves and nothing is lost, nothing left behind."""
    with visiting(prod) as visits, writing(prod) as load:
        yield
        load.wait_for_more()
    assert faults(prod, load) == []
    assert aftermath(prod) == []
    assert visits.good["/api/files"]


def deploy(prod: Stack, code: int = 0) -> Said:
    said = prod("deploy", "prod")
    assert said.returncode == code, said.stderr
    return said


def test_a_restart_of_postgres_loses_no_acknowledged_write(prod: Stack):
    before = prod.containers()["postgres"].started
    with under_load(prod):
        prod.done("restart", "prod", "postgres")
    assert prod.containers()["postgres"].started != before


def test_the_load_finds_what_is_lost_and_what_is_there_twice(prod: Stack):
    with writing(prod) as load:
        load.wait_for_more(9)
    assert faults(prod, load) == []
    first, second, third, fourth = load.acknowledged[:4]
    columns = "text, media_file_id, user_id"
    sql(prod, f"DELETE FROM comment WHERE text = '{first}'")
    sql(prod, f"DELETE FROM task WHERE id = '{second}'")
    sql(prod, f"INSERT INTO comment ({columns}) SELECT {columns} FROM comment WHERE text = '{third}'")
    sql(prod, f"DELETE FROM comment WHERE text = '{fourth}'; DELETE FROM task WHERE id = '{fourth}'")
    found = "\n".join(faults(prod, load))
    assert f"{first}: acknowledged, its comment is there 0 times" in found
    assert f"{second}: acknowledged, its task is missing" in found
    assert f"{third}: acknowledged, its comment is there 2 times" in found
    assert f"{fourth}: acknowledged, its comment is there 0 times" in found
    assert "comments, counted" in found


def test_the_aftermath_finds_what_is_wrong(prod: Stack):
    with visiting(prod) as visits:
        wait_until(lambda: bool(visits.good["/ready"]))
        prod.done("stop", "prod", "proxy")
        wait_until(lambda: bool(visits.failures))
        assert any("proxy" in each for each in aftermath(prod))
        prod.done("start", "prod")
    assert aftermath(prod) == []


def test_nothing_pending(prod: Stack):
    before = revision(prod)
    with under_load(prod):
        deploy(prod)
    assert revision(prod) == before


def test_a_harmless_migration_while_a_recording_is_transcribed(prod: Stack, tree: Tree, tmp_path: Path):
    wanted = tree.add_revision("Colours of tags", "ALTER TABLE tag ADD COLUMN colour varchar(20)")
    before = current(prod)["current"]
    talk = record_long_talk(tmp_path / "at work.mp3")
    with under_load(prod), at_work(prod, "deploy", "prod") as running:
        running.wait_for("migrate")
        with transcribing(prod, talk, "prod") as work:
            assert running.exit_code() == 0, running.said
            work.is_done_once()
            assert work.attempts() == 1
    assert revision(prod) == wanted
    assert current(prod)["current"] != before
    assert current(prod)["previous"] == before


def test_the_third_of_three_revisions_fails(prod: Stack, tree: Tree):
    tree.add_revision("First of three", "ALTER TABLE tag ADD COLUMN first bigint")
    second = tree.add_revision("Second of three", "ALTER TABLE tag ADD COLUMN second bigint")
    third = tree.add_revision("Third of three", POISONED, "ALTER TABLE tag ADD COLUMN third bigint")
    sql(prod, POISON)
    before = current(prod)
    with under_load(prod):
        said = deploy(prod, 1)
    assert names(said.stderr, second, "poisoned", before["version"], "serving") == [], said.stderr
    assert revision(prod) == second
    assert current(prod) == before
    sql(prod, CURE)
    with under_load(prod):
        deploy(prod)
    assert revision(prod) == third


def test_a_revision_that_fails_halfway_leaves_nothing_of_it(prod: Stack, tree: Tree):
    tree.add_revision("Halfway", "ALTER TABLE tag ADD COLUMN halfway bigint", POISONED)
    sql(prod, POISON)
    before, reached = current(prod), revision(prod)
    with under_load(prod):
        said = deploy(prod, 1)
    assert "poisoned" in said.stderr
    assert (revision(prod), current(prod)) == (reached, before)
    assert sql(prod, "SELECT count(*) FROM pg_attribute WHERE attname = 'halfway'") == "0"


def test_an_index_that_fails_halfway_is_built_by_the_next_deploy(prod: Stack, tree: Tree):
    sql(prod, POISON)
    wanted = tree.add_index("Index of quotients", "comment_quotient_idx", "comment ((1 / (length(text) - 6)))")
    before, reached = current(prod), revision(prod)
    with under_load(prod):
        said = deploy(prod, 1)
    assert "division by zero" in said.stderr
    assert (revision(prod), current(prod)) == (reached, before)
    sql(prod, CURE)
    with under_load(prod):
        deploy(prod)
    assert revision(prod) == wanted
    assert sql(prod, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'comment_quotient_idx'::regclass") == "t"


def test_a_migration_waits_for_a_long_transaction_and_says_for_which(prod: Stack, tree: Tree):
    wanted = tree.add_revision("Behind a long transaction", "ALTER TABLE tag ADD COLUMN waited bigint")
    migrator = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'opentr migrator'"
    with under_load(prod), at_work(prod, "deploy", "prod") as running:
        running.wait_for("prove")
        with long_transaction(prod):
            running.wait_for("migrate")
            wait_until(lambda: sql(prod, f"{migrator} AND wait_event_type = 'Lock'") == "1" or running.ended)
            wait_until(lambda: "lock not granted" in running.said or running.ended)
            assert "test of a long transaction" in running.said
        assert running.exit_code() == 0, running.said
    assert revision(prod) == wanted


@contextmanager
def long_transaction(prod: Stack) -> Iterator[None]:
    """A session that has read the tags and doesn't end, until the block does."""
    words = "BEGIN; SELECT count(*) FROM tag; SELECT pg_sleep(600) -- test of a long transaction"
    pid = "SELECT pid FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600) -- test of%' AND pid <> pg_backend_pid()"
    command = ["docker", "exec", prod.containers()["postgres"].id, "psql", "-XqU", "postgres", "-d", LIVE, "-c", words]
    with subprocess.Popen(command):
        wait_until(lambda: sql(prod, pid) != "")
        try:
            yield
        finally:
            sql(prod, f"SELECT pg_terminate_backend(({pid}))")


def test_images_that_never_get_healthy_leave_the_old_ones_serving(prod: Stack, tree: Tree):
    wanted = tree.add_revision("With a broken image", "ALTER TABLE tag ADD COLUMN broken bigint")
    before = current(prod)
    with tree.broken_app(), under_load(prod):
        said = deploy(prod, 1)
    assert "broken on purpose" in said.stderr
    assert revision(prod) == wanted
    assert current(prod)["current"] == before["current"]


@contextmanager
def filled(prod: Stack) -> Iterator[None]:
    """No room in the repository during the block."""
    inside(prod, "postgres", "sh", "-c", f"dd if=/dev/zero of={FILLER} bs=1M 2>&1 | grep -q 'No space left'")
    try:
        yield
    finally:
        inside(prod, "postgres", "rm", FILLER)
        wait_until(lambda: sql(prod, ARCHIVED, "postgres") == "t", ARCHIVE_SECONDS)


def test_a_full_disk_is_seen_before_anything_begins(prod: Stack):
    before = backups(prod)
    with under_load(prod):
        with filled(prod):
            said = deploy(prod, 4)
        assert "room" in said.stderr or "space" in said.stderr
    assert backups(prod) == before


def test_a_disk_that_fills_up_meanwhile_stops_the_deploy(prod: Stack, tree: Tree):
    tree.add_revision("On a full disk", "ALTER TABLE tag ADD COLUMN never bigint")
    before, reached = current(prod), revision(prod)
    with under_load(prod), at_work(prod, "deploy", "prod") as running:
        running.wait_for("backup")
        with filled(prod):
            assert running.exit_code() == 1, running.said
        # pgBackRest runs out of space; or the backup's own look at the volume, if that came later than we
        assert "No space left" in running.said or " are free" in running.said, running.said
    assert (revision(prod), current(prod)) == (reached, before)


def test_a_damaged_repository_is_found_before_the_migration(prod: Stack, tree: Tree):
    wanted = tree.add_revision("On a damaged repository", "ALTER TABLE tag ADD COLUMN late bigint")
    before, reached = current(prod), revision(prod)
    prod.done("backup", "prod", "--type", "full")
    inside(prod, "postgres", "bash", "-c", DAMAGE)
    with under_load(prod):
        said = deploy(prod, 1)
    assert names(said.stderr, "bundle/1: invalid checksum", current(prod)["version"], "serving") == [], said.stderr
    assert (revision(prod), current(prod)) == (reached, before)
    prod.done("backup", "prod", "--type", "full")
    with under_load(prod):
        deploy(prod)
    assert revision(prod) == wanted
