"""What is seen of an environment, and programs inside it."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Terminal
    from tests.e2e.conftest import MakeStack
    from tests.stacks import Stack


@pytest.fixture(scope="module")
def started(stacks: MakeStack) -> Stack:
    """A dev stack; its tests leave all of it running."""
    made = stacks()
    made.done("start")
    return made


@contextmanager
def frozen(stack: Stack, service: str) -> Iterator[None]:
    """The processes of a service stand still meanwhile, all but the container's first."""
    stack.done("exec", service, "--", "bash", "-c", "kill -STOP -1")
    try:
        yield
    finally:
        stack.done("exec", service, "--", "bash", "-c", "kill -CONT -1")


def test_status_tells_all_that_there_is_to_know(started: Stack):
    seen = json.loads(started.done("status", "--json"))
    assert seen["healthy"]
    assert {one["service"]: one["state"] for one in seen["services"]}["worker"] == "running"
    assert seen["database"]["revision"] == seen["database"]["head"]
    assert seen["database"]["size_bytes"] > 1_000_000
    assert 0 < seen["database"]["free_bytes"] < seen["database"]["disk_bytes"]
    assert (seen["pool"]["paused"], seen["pool"]["waiting"]) == (False, 0)
    assert (seen["outdated"], seen["holder"], seen["interrupted"]) == ([], None, False)
    text = started.done("status")
    assert f"postgres   healthy  {text.split('postgres   healthy  ')[1][:1]}" in text
    assert started.address("api", 8000) in text
    assert "\x1b" not in text


def test_status_does_not_wait_for_a_server_that_hangs(started: Stack):
    with frozen(started, "postgres"):
        begin = time.monotonic()
        said = started("status")
        took = time.monotonic() - begin
    assert said.returncode == 0
    assert "database  doesn't answer: no answer within 3 s" in said.stdout
    assert took < 10


def test_half_of_a_stack_is_told_as_such(started: Stack):
    started.done("stop", "dev", "postgres", "worker")
    said = started("status")
    assert said.returncode == 0
    assert "not running: postgres, worker; type ./opentr.sh start dev" in said.stdout
    health = started("health", "--json")
    assert health.returncode == 1
    assert json.loads(health.stdout)["services"]["worker"] == "exited"
    started.done("start")
    assert started("health").returncode == 0


def test_status_watch_repaints_until_ctrl_c(
    started: Stack, environment: dict[str, str], on_terminal: Callable[..., Terminal]
):
    environment.update(started.variables)
    terminal = on_terminal(started.command, "status", "--watch")
    terminal.wait_for("; Ctrl-C ends")
    terminal.wait_for("connections at work")
    terminal.screen = ""
    terminal.wait_for("connections at work")
    terminal.type("\x03")
    assert terminal.exit_code() == 0
    assert "Traceback" not in terminal.screen


def test_psql_takes_its_own_options_and_its_standard_input(started: Stack):
    assert started.done("psql", "-Atc", "SELECT current_user || ' ' || session_user") == "app_owner postgres\n"
    assert started("psql", "dev", "--", "-At", stdin="SELECT 6 * 7;\n").stdout == "42\n"
    failed = started("psql", "-v", "ON_ERROR_STOP=1", "-c", "SELECT 1/0")
    assert failed.returncode == 1
    assert "division by zero" in failed.stderr


def test_psql_is_interactive_at_a_terminal(
    started: Stack, environment: dict[str, str], on_terminal: Callable[..., Terminal]
):
    environment.update(started.variables)
    terminal = on_terminal(started.command, "psql")
    terminal.wait_for("dev opentranscribe=>")
    terminal.type("SELECT 6 * 7 AS answer;\n")
    terminal.wait_for("(1 row)")
    terminal.screen = terminal.screen.partition("(1 row)")[2]
    terminal.wait_for("dev opentranscribe=>")
    terminal.type("SELECT pg_sleep(60);\n")
    sleeping = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = 'SELECT pg_sleep(60);'"
    while started.done("psql", "-Atqc", "SET ROLE none", "-c", sleeping) != "1\n":
        pass
    terminal.type("\x03")
    terminal.wait_for("canceling statement due to user request")
    terminal.type("\\q\n")
    assert terminal.exit_code() == 0


def test_exec_hands_over_words_input_and_exit_code(started: Stack):
    said = started("exec", "api", "--", "sh", "-c", 'cat; echo "$1"; exit 7', "sh", "a b", stdin="typed\n")
    assert (said.returncode, said.stdout) == (7, "typed\na b\n")
    assert started("exec", "dev", "redis", "true").returncode == 0
    assert started("exec", "api").returncode == 2


def test_a_shell_opens_in_the_api(started: Stack, environment: dict[str, str], on_terminal: Callable[..., Terminal]):
    environment.update(started.variables)
    terminal = on_terminal(started.command, "shell")
    terminal.wait_for(f"[{started.project} api] /srv/backend$ ")
    terminal.type("id -un; exit 3\n")
    terminal.wait_for("app\r\n")
    assert terminal.exit_code() == 3


def test_the_database_verbs_run_beside_the_database(started: Stack):
    current = json.loads(started.done("db", "current", "--json"))
    assert (current["pending"], current["drift"]) == ([], [])
    assert "nothing pending" in started.done("db", "current", "dev")
    assert started("db", "inspect").returncode == 0


def test_migrating_prod_by_hand_must_be_confirmed(started: Stack):
    said = started("db", "migrate", "prod")
    assert said.returncode == 3
    assert said.stderr.splitlines()[-1] == "add --confirm prod to go ahead"
    assert started("sample", "prod").returncode == 3


def test_sample_data_is_added(started: Stack):
    started.done("sample", "--users", "2", "--files", "3", "--segments", "9")
    assert started.done("psql", "-Atc", "SELECT count(*) FROM transcript_segment") == "9\n"


def test_version_tells_what_runs(started: Stack):
    said = json.loads(started.done("version", "--json"))
    assert said["dev"]["running"] == [said["version"]]
    assert said["dev"]["revision"] == said["head"]
