"""`restore prod` from its own backups: rows back, a lost volume, a cluster that can't start, a failure, a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.watching import inside, sql, wait_until

if TYPE_CHECKING:
    from tests.e2e.conftest import MakeStack
    from tests.stacks import Stack

CONFIRMED = ("--confirm", "prod")
ROLES = "give the database's roles"
EXCHANGE = "which cluster takes which one's place"


@pytest.fixture(scope="module")
def prod(stacks: MakeStack) -> Stack:
    """A running prod stack with a backup that has the tag `kept`."""
    made = stacks()
    made.done("start", "prod")
    add(made, "kept")
    made.done("backup", "prod")
    return made


def add(stack: Stack, name: str) -> None:
    sql(stack, f"INSERT INTO tag (name) VALUES ('{name}') ON CONFLICT DO NOTHING")


def tags(stack: Stack) -> set[str]:
    """The tags that the tests have made."""
    default = "('Important', 'Meeting', 'Interview', 'Personal')"
    return set(sql(stack, f"SELECT name FROM tag WHERE name NOT IN {default}").split())


def serves(stack: Stack) -> bool:
    return stack("health", "prod").returncode == 0


def outcomes(stack: Stack) -> list[str]:
    """How each restore ended, oldest first; `open` for one that hasn't."""
    last = [json.loads(file.read_text().splitlines()[-1]) for file in sorted((stack.state / "journal").iterdir())]
    return [each["data"].get("outcome", "open") if each["kind"] == "closed" else "open" for each in last]


def volume(stack: Stack) -> str:
    return f"{stack.project}_postgres-data"


def told(stack: Stack) -> list[dict[str, Any]]:
    """The events of the newest operation."""
    newest = max((stack.state / "journal").iterdir()).read_text()
    return [json.loads(line) for line in newest.splitlines()]


def killed_at(stack: Stack, step: str, *words: str, before: tuple[tuple[str, int], ...] = ()) -> None:
    """Starts a command, and kills the tool as soon as its journal says that this step has begun.

    `before`: signals that come first, each when the journal has an event of this kind or step; an interrupt at the end
    is the third one, which ends the tool as well.
    """
    earlier = set((stack.state / "journal").glob("*"))
    process = subprocess.Popen(
        [stack.command, *words], env=stack.variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    for awaited, number in (*before, (step, signal.SIGKILL)):

        def begun(awaited: str = awaited) -> bool:
            assert process.poll() is None, f"ended before {awaited}"
            if not set((stack.state / "journal").glob("*")) - earlier:
                return False
            events = told(stack)
            return any(
                each["kind"] == awaited or (each["kind"] == "started" and each["step"].startswith(awaited))
                for each in events
            )

        wait_until(begun, 300)  # a restore may be before it
        os.kill(process.pid, number)
    process.wait()


def test_rows_come_back_and_undo_puts_back_what_was_replaced(prod: Stack):
    sql(prod, "DROP TABLE comment CASCADE")
    add(prod, "later")
    said = prod("restore", "prod", "--backup", "newest")
    assert said.returncode == 3
    assert "ago" in said.stderr
    assert serves(prod)
    answer = json.loads(prod.done("restore", "prod", "--backup", "newest", *CONFIRMED, "--json"))
    assert answer["serves"]
    assert sql(prod, "SELECT count(*) FROM comment") == "0"
    assert tags(prod) == {"kept"}
    assert serves(prod)
    prod.done("restore", "prod", "--undo", *CONFIRMED)
    assert tags(prod) == {"kept", "later"}
    add(prod, "after_undo")
    sql(prod, "CREATE TABLE comment (a integer)")
    prod.done("restore", "prod", "--latest", *CONFIRMED)
    assert tags(prod) == {"kept", "later", "after_undo"}, "the timeline that was put aside was followed"
    assert serves(prod)
    prod.done("restore", "prod", "--backup", "newest", *CONFIRMED)


def test_a_lost_volume_comes_back_with_the_last_commit(prod: Stack):
    add(prod, "last")
    prod.done("stop", "prod")
    for service in ("postgres", "backup"):
        prod.engine.remove_container(prod.containers()[service].id)
    prod.engine.remove_volume(volume(prod))
    refused = prod("start", "prod")
    assert refused.returncode == 4
    assert "./opentr.sh restore prod --latest" in refused.stderr
    prod.done("restore", "prod", "--latest", *CONFIRMED)
    assert {"kept", "last"} <= tags(prod)
    assert serves(prod)


def test_a_cluster_that_cannot_start_is_replaced(prod: Stack):
    add(prod, "before_damage")
    prod.done("backup", "prod")
    inside(prod, "postgres", "rm", "/var/lib/postgresql/data/global/pg_control")
    prod.done("restore", "prod", "--latest", *CONFIRMED)
    assert "before_damage" in tags(prod)
    assert serves(prod)


def test_a_backup_without_its_manifest_is_refused(prod: Stack):
    add(prod, "stays")
    before = tags(prod)
    folder = "/var/lib/pgbackrest/manifests"
    inside(prod, "backup", "mv", folder, f"{folder}.away")
    inside(prod, "backup", "mkdir", folder)
    said = prod("restore", "prod", "--backup", "newest", *CONFIRMED)
    inside(prod, "backup", "rmdir", folder)
    inside(prod, "backup", "mv", f"{folder}.away", folder)
    assert said.returncode == 4
    assert "no manifest" in said.stderr
    assert tags(prod) == before
    assert serves(prod)


@pytest.mark.parametrize(
    ("step", "outcome"),
    [("restore backup", "reverted"), ("start postgres", "done")],
    ids=["before the swap", "after it"],
)
def test_killed_anywhere_the_next_command_ends_it(prod: Stack, step: str, outcome: str):
    add(prod, "newer_than_backup")
    killed_at(prod, step, "restore", "prod", "--backup", "newest", *CONFIRMED)
    assert outcomes(prod)[-1] == "open"
    prod.done("start", "prod")
    assert outcomes(prod)[-1] == outcome
    assert ("newer_than_backup" in tags(prod)) == (outcome == "reverted")
    assert serves(prod)


def test_one_that_fails_leaves_what_an_earlier_one_replaced_and_an_undo_that_is_killed_is_finished(prod: Stack):
    add(prod, "put_aside")
    prod.done("restore", "prod", "--backup", "newest", *CONFIRMED)
    restored = told(prod)[0]["data"]
    manifest = f"/var/lib/pgbackrest/manifests/{restored['restored']}.json"
    more = f"jq '.tables |= map_values(.rows += 1)' {manifest}"
    inside(
        prod, "backup", "sh", "-c", f"cp {manifest} {manifest}.kept && {more} >/tmp/more && cat /tmp/more >{manifest}"
    )
    said = prod("restore", "prod", "--backup", restored["backup"], *CONFIRMED)
    inside(prod, "backup", "mv", f"{manifest}.kept", manifest)
    assert said.returncode == 1
    assert "aren't those of the manifest" in said.stderr
    assert outcomes(prod)[-1] == "reverted"
    assert serves(prod)
    killed_at(prod, EXCHANGE, "restore", "prod", "--undo", *CONFIRMED)
    prod.done("start", "prod")
    swapped = "put_aside" in tags(prod)  # the container that was begun may have done it, or not have come to it
    assert outcomes(prod)[-1] == ("done" if swapped else "reverted")
    if not swapped:
        prod.done("restore", "prod", "--undo", *CONFIRMED)
    assert "put_aside" in tags(prod)
    assert serves(prod)


@pytest.mark.parametrize(
    "signals",
    [((ROLES, signal.SIGINT),), ((ROLES, signal.SIGINT), ("undoing", signal.SIGINT), ("undoing", signal.SIGINT))],
    ids=["killed", "interrupted thrice"],
)
def test_one_that_was_being_taken_back_is_taken_back_to_the_end(prod: Stack, signals: tuple[tuple[str, int], ...]):
    add(prod, "after_backup")
    killed_at(prod, "undoing", "restore", "prod", "--backup", "newest", *CONFIRMED, before=signals)
    assert outcomes(prod)[-1] == "open"
    prod.done("start", "prod")
    assert outcomes(prod)[-1] == "reverted"
    assert "after_backup" in tags(prod)
    assert serves(prod)


def test_a_backup_that_is_not_there_is_refused(prod: Stack):
    assert prod("restore", "prod", "--backup", "20010101-000000F", *CONFIRMED).returncode == 2
    assert serves(prod)


def test_rows_that_nobody_could_archive_come_back_too_and_are_archived_then(prod: Stack):
    archive = "/var/lib/pgbackrest/archive"
    inside(prod, "postgres", "chmod", "-R", "a-w", archive)
    add(prod, "waits_for_the_archive")
    piece = sql(prod, "SELECT pg_walfile_name(pg_switch_wal())")
    add(prod, "in_the_last_piece")
    inside(prod, "postgres", "rm", "/var/lib/postgresql/data/global/pg_control")
    prod.done("restore", "prod", "--latest", *CONFIRMED)
    assert {"waits_for_the_archive", "in_the_last_piece"} <= tags(prod)
    assert serves(prod)
    inside(prod, "postgres", "chmod", "-R", "u+w", archive)
    wait_until(lambda: piece in inside(prod, "postgres", "ls", "-R", archive))
