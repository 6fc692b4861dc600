"""`restore prod` from its own backups: rows back, a lost volume, a cluster that can't start, a failure, a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.e2e.watching import inside, sql, wait_until

if TYPE_CHECKING:
    from tests.e2e.conftest import MakeStack
    from tests.stacks import Stack

CONFIRMED = ("--confirm", "prod")


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


def killed_at(stack: Stack, step: str, *words: str) -> None:
    """Starts a command, and kills the tool as soon as its journal says that this step has begun."""
    process = subprocess.Popen(
        [stack.command, *words], env=stack.variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    def begun() -> bool:
        assert process.poll() is None, f"ended before {step}"
        newest = max((stack.state / "journal").iterdir()).read_text()
        return any(f'"kind": "started", "step": "{step}' in line for line in newest.splitlines())

    wait_until(begun)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def test_rows_come_back_and_undo_puts_back_what_was_replaced(prod: Stack):
    sql(prod, "DROP TABLE comment CASCADE")
    add(prod, "later")
    said = prod("restore", "prod", "--backup", "newest")
    assert said.returncode == 3
    assert "ago" in said.stderr
    assert serves(prod)
    told = json.loads(prod.done("restore", "prod", "--backup", "newest", *CONFIRMED, "--json"))
    assert told["serves"]
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


def test_what_fails_is_taken_back(prod: Stack):
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


def test_a_backup_that_is_not_there_is_refused(prod: Stack):
    assert prod("restore", "prod", "--backup", "20010101-000000F", *CONFIRMED).returncode == 2
    assert serves(prod)
