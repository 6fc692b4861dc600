"""`restore prod --latest` where something is damaged or missing: what it finds its way around, and what it refuses."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.e2e.test_restore import CONFIRMED, add, outcomes, serves, tags, volume
from tests.e2e.watching import inside, sql

if TYPE_CHECKING:
    from tests.e2e.conftest import MakeStack
    from tests.stacks import Stack

DATA = "/var/lib/postgresql/data"
ARCHIVE = "/var/lib/pgbackrest/archive"
VOLUME_MB = 640
ROOM_STEP = "restore all that was archived"
INDEX = "SELECT pg_relation_filepath('tag_name_key')"
PUT_BACK = 'restore_cluster put "$(restore_cluster ids | jq -r .replaced)"'


@pytest.fixture(scope="module")
def prod(stacks: MakeStack) -> Stack:
    """Prod's data services, with a backup: what is restored here isn't the app's business."""
    made = stacks()
    made.done("start", "prod", "--profile", "infra")
    made.done("backup", "prod", "--type", "full")
    return made


def image(stack: Stack) -> str:
    """The image of Postgres."""
    variables = dict(
        line.split("=", 1) for line in (stack.state / "compose.env").read_text().splitlines() if "=" in line
    )
    return variables["OPENTR_IMAGE_POSTGRES"].strip("'\"")


def beside(stack: Stack, script: str) -> str:
    """Runs a script on the volumes of data and backups, whatever runs there."""
    mounts = ["-v", f"{volume(stack)}:/var/lib/postgresql", "-v", f"{stack.project}_backups:/var/lib/pgbackrest"]
    words = ["docker", "run", "--rm", "--network", "none", *mounts, "--entrypoint", "bash", image(stack), "-ec", script]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


def test_damage_that_shows_only_when_the_indexes_are_looked_at_is_got_around(prod: Stack):
    """The newest set lacks an index's file; what was written to it since is in the log, and the older set has it."""
    sql(prod, "CHECKPOINT")
    file = f"{DATA}/{sql(prod, INDEX)}"
    inside(prod, "postgres", "mv", file, f"{DATA}/hidden")
    try:
        prod("backup", "prod", "--type", "full")  # without a manifest: its rows can't be counted either
    finally:
        inside(prod, "postgres", "mv", f"{DATA}/hidden", file)
    assert len(json.loads(prod.done("backup", "list", "prod", "--json"))) > 1
    add(prod, "after_damage")
    answer = json.loads(prod.done("restore", "prod", "--latest", *CONFIRMED, "--json"))
    (skipped,) = answer["reached"]["skipped"]
    assert "can't be restored" in skipped
    assert "tag_name_key" in skipped or "could not open file" in skipped
    assert "after_damage" in tags(prod)
    assert serves(prod)


def test_a_piece_of_the_log_that_every_backup_needs_is_named_instead_of_waited_for(prod: Stack):
    prod.done("backup", "prod", "--type", "full")
    newest = json.loads(prod.done("backup", "list", "prod", "--json"))[-1]["label"]
    query = f"jq -r '.[0].backup[] | select(.label == \"{newest}\") | .archive.start'"
    piece = inside(prod, "postgres", "sh", "-c", f"pgbackrest --stanza=main info --output=json | {query}")
    file = inside(prod, "postgres", "find", ARCHIVE, "-name", f"{piece}-*")
    inside(prod, "postgres", "mv", file, f"{ARCHIVE}/hidden")
    add(prod, "serves_on")
    said = prod("restore", "prod", "--latest", *CONFIRMED)
    inside(prod, "postgres", "mv", f"{ARCHIVE}/hidden", file)
    assert said.returncode == 1, said.stderr
    assert "the log can't be replayed to where the backup ended: repository file archive/main: " in said.stderr
    assert "what was there before is there again" in said.stderr
    assert "serves_on" in tags(prod)
    assert serves(prod)


def test_a_cluster_that_was_put_back_and_never_started_keeps_what_it_wrote(prod: Stack):
    add(prod, "own")
    prod.done("restore", "prod", "--backup", "newest", *CONFIRMED)
    add(prod, "in_between")
    prod.done("stop", "prod", "postgres")
    beside(prod, PUT_BACK)
    prod.done("restore", "prod", "--latest", *CONFIRMED)
    assert "own" in tags(prod)
    assert "in_between" not in tags(prod)
    assert serves(prod)


def test_a_wrong_passphrase_is_found_while_all_serves(prod: Stack):
    file = prod.state / "secrets" / "backup_passphrase"
    before, started = file.read_text(), prod.containers()["postgres"].started
    file.chmod(0o644)
    file.write_text("another that is long enough\n")
    said = prod("restore", "prod", "--latest", *CONFIRMED)
    file.write_text(before)
    assert said.returncode == 4, said.stderr
    assert "this isn't the passphrase that the backups were made with" in said.stderr
    assert prod.containers()["postgres"].started == started
    assert serves(prod)


def test_an_undo_of_nothing_stops_nothing(stack: Stack):
    stack.done("start", "prod", "--profile", "infra")
    before = {name: each.started for name, each in stack.containers().items()}
    said = stack("restore", "prod", "--undo", *CONFIRMED)
    assert said.returncode == 4, said.stderr
    assert "has replaced anything" in said.stderr
    assert {name: each.started for name, each in stack.containers().items()} == before


def test_a_lost_record_of_the_database_stands_in_no_way(prod: Stack):
    (prod.state / "database.json").unlink()
    prod.done("backup", "prod")
    prod.done("restore", "prod", "--latest", *CONFIRMED)
    assert (prod.state / "database.json").exists()
    assert serves(prod)


def test_what_was_replaced_goes_with_clean_once_a_backup_of_what_serves_is_proven(prod: Stack):
    prod.done("restore", "prod", "--latest", *CONFIRMED)
    said = prod("clean", "prod", "--yes")
    assert said.returncode == 0, said.stderr
    assert "stays: what the last restore replaced" in said.stderr
    assert "./opentr.sh backup verify newest" in said.stderr
    assert beside(prod, f"ls -d {DATA}.replaced")
    refused = prod("clean", "prod", "--replaced", "--yes")
    assert refused.returncode == 3
    assert "may be needed: what the last restore replaced" in refused.stderr
    assert beside(prod, f"ls -d {DATA}.replaced")
    prod.done("backup", "prod")
    prod.done("backup", "verify", "newest")
    assert "--yes doesn't answer for it" in prod("clean", "prod", "--yes").stderr
    assert beside(prod, f"ls -d {DATA}.replaced")
    said = prod("clean", "prod", *CONFIRMED)
    assert "remove what the last restore replaced (" in said.stderr
    assert beside(prod, "find /var/lib/postgresql -maxdepth 1 -name 'data.*'") == ""
    assert prod("restore", "prod", "--undo", *CONFIRMED).returncode == 4
    assert serves(prod)


def test_a_way_back_that_fails_too_ends_with_5_and_the_next_command_takes_it_back(prod: Stack):
    """Postgres finds its configuration gone as soon as the clusters have changed places, and so does the one before."""
    add(prod, "newer")
    file = prod.state / "config" / "postgres" / "postgresql.conf"
    text = file.read_text()
    add(prod, "stays")
    file.chmod(0o644)
    file.write_text("nonsense\n")
    said = prod("restore", "prod", "--latest", *CONFIRMED)
    assert said.returncode == 5, said.stderr
    assert "and taking it back failed: " in said.stderr
    assert "./opentr.sh start prod" in said.stderr.splitlines()[-1]
    assert outcomes(prod)[-1] == "open"
    file.write_text(text)
    prod.done("start", "prod", "--profile", "infra")
    assert outcomes(prod)[-1] == "reverted"
    assert {"newer", "stays"} <= tags(prod)
    assert serves(prod)
