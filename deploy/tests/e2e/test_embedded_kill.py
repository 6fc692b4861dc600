"""Local processes that are killed, and the tool over them: nothing is lost, and the next command puts it right."""

from __future__ import annotations

import os
import re
import signal
import threading
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

import psycopg2
import pytest

from opentr.process import started
from tests.embedded import OURS, SERVICES, Processes, children, databases, gone, wait_until, works

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Terminal
    from tests.embedded import MakeProcesses

_COMMAND = re.compile(r"^\S+ \S+ \d+ (?:psql .* -f -|redis-cli|sh -e?c .*)$", re.MULTILINE)
"""A command by which the tool changes something, in its log: the checks of health are others."""


@pytest.fixture(scope="module")
def dev(make: MakeProcesses) -> Processes:
    """All of it runs; each test puts right what it has broken."""
    made = make()
    made.done("reset", "dev")
    return made


def remember(dev: Processes, word: str) -> None:
    """Leaves a word in all three parts of the live generation."""
    dev.sql(f"INSERT INTO tag (name) VALUES ('{word}')")
    dev.redis(f"SET remembered {word}")
    (dev.media / "remembered").write_text(word)


def remembered(dev: Processes, word: str) -> set[bool]:
    """Whether each of the three parts has it."""
    file = dev.media / "remembered"
    return {
        bool(dev.sql(f"SELECT name FROM tag WHERE name = '{word}'")),
        dev.redis("GET remembered") == word,
        file.exists(),
    }


@contextmanager
def writing(dev: Processes) -> Iterator[list[str]]:
    """Commits row after row meanwhile, each on the disk, whatever happens to the connection: those acknowledged."""
    acknowledged: list[str] = []
    told, first = threading.Event(), threading.Event()

    def write() -> None:
        number = 0
        while not told.is_set():
            try:
                with closing(dev.connect()) as connection:
                    connection.autocommit = True
                    while not told.is_set():
                        with connection.cursor() as cursor:
                            cursor.execute("SET synchronous_commit = on")
                            number += 1
                            cursor.execute("INSERT INTO tag (name) VALUES (%s)", [f"written {number}"])
                        acknowledged.append(f"written {number}")
                        first.set()
            except psycopg2.Error:
                told.wait(0.01)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert first.wait(30)
        yield acknowledged
    finally:
        told.set()
        thread.join()


# Services.


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_that_is_killed_is_restarted_and_no_row_is_lost(dev: Processes, service: str):
    dev.done("reset", "dev")
    with writing(dev) as acknowledged:
        before = dev.pids()
        helpers = dev.marked("SERVICE", service)
        at = {pid: started(pid) for pid in helpers}
        os.kill(before[service], signal.SIGKILL)
        wait_until(lambda: dev.pids().get(service, before[service]) != before[service])
        works(dev)
    assert gone(helpers, at)
    assert {name for name, pid in dev.pids().items() if pid != before[name]} == {service}
    assert set(acknowledged) <= {name for (name,) in dev.sql("SELECT name FROM tag")}
    restarts = {each["service"]: each["restarts"] for each in dev.json("status")["services"]}
    assert restarts[service] == 1


def test_all_of_postgres_is_killed_at_once(dev: Processes):
    dev.done("reset", "dev")
    with writing(dev) as acknowledged:
        before = dev.pids()["postgres"]
        for pid in [before, *dev.marked("SERVICE", "postgres")]:
            kill(pid)
        wait_until(lambda: dev.pids().get("postgres", before) != before)
        works(dev)
    assert set(acknowledged) <= {name for (name,) in dev.sql("SELECT name FROM tag")}


def kill(pid: int) -> None:
    """SIGKILL, if it is still there."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("service", ["api", "worker"])
def test_what_is_killed_below_its_keeper_is_started_again(dev: Processes, service: str):
    keeper = dev.pids()[service]
    [killed] = children(keeper)
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: children(keeper) not in ([], [killed]))
    wait_until(lambda: "the program has ended (SIGKILL)" in dev.done("logs", "dev", service))
    works(dev)
    assert dev.pids()[service] == keeper


@pytest.mark.parametrize("service", ["postgres", "redis", "api"])
def test_a_service_dies_during_a_reset(dev: Processes, service: str):
    dev.done("reset", "dev")
    remember(dev, "before")
    with dev.running("reset", "dev") as process:
        wait_until(lambda: (dev.state / "swap.json").exists() or process.poll() is not None)
        kill(dev.pids()[service])
        process.wait()
    dev.done("start")
    works(dev)
    assert len(remembered(dev, "before")) == 1


def test_when_the_supervisor_is_killed_nothing_runs_on_and_the_next_start_brings_all_up(dev: Processes):
    dev.done("reset", "dev")
    remember(dev, "kept")
    os.kill(dev.supervisor(), signal.SIGKILL)
    wait_until(lambda: dev.processes() == [])
    assert "nothing is running" in dev.done("status")
    dev.done("start")
    works(dev)
    assert remembered(dev, "kept") == {True}


def test_a_start_at_once_after_the_supervisor_was_killed(dev: Processes):
    """Its services are just ending then, and still have ports and folders."""
    before = dev.supervisor()
    os.kill(before, signal.SIGKILL)
    dev.done("start")
    assert dev.supervisor() != before
    works(dev)


@pytest.mark.parametrize("command", [("stop",), ("remove", "dev", "--yes")])
def test_what_is_left_without_a_supervisor_can_be_stopped(dev: Processes, command: tuple[str, ...]):
    os.kill(dev.supervisor(), signal.SIGKILL)
    assert dev(*command).returncode == 0
    wait_until(lambda: dev.processes() == [])
    dev.done("start")
    works(dev)


# The tool.


def moments(dev: Processes) -> dict[str, Callable[[], object]]:
    """What there is to be seen of a `reset dev` from nothing, in this order."""
    return {
        "state": (dev.state / "id").exists,
        "configuration": (dev.state / "config/postgres").exists,
        "supervisord": lambda: list(dev.home.glob("run/supervisord.sock*")),
        "initdb": lambda: list(dev.home.glob("postgres/data/cluster.new/*")),
        "cluster": lambda: list(dev.home.glob("postgres/data/cluster/*")),
        "redis": lambda: dev.pids().get("redis"),
        "template": lambda: "app.db.stamp" in dev.log(),
        "swap": lambda: "opentr_swap" in dev.log(),
        "api": lambda: dev.pids().get("api"),
        "worker": lambda: dev.pids().get("worker"),
    }


def test_what_outlives_a_supervisor_and_all_services_is_ended_by_stop(dev: Processes):
    at = {pid: started(pid) for pid in dev.processes()}
    children = set(dev.marked("SERVICE", "api")) - {dev.pids()["api"]}
    assert children
    for pid in [dev.supervisor(), *dev.pids().values()]:
        os.kill(pid, signal.SIGKILL)
    dev.done("stop")
    wait_until(lambda: gone(list(children), at))
    dev.done("start")
    works(dev)


def test_killed_at_any_moment_from_nothing_the_next_reset_goes_on(make: MakeProcesses):
    made = make()
    for moment, seen in moments(made).items():
        with made.running("reset", "dev") as process:
            wait_until(lambda seen=seen, process=process: seen() or process.poll() is not None)  # type: ignore[misc]
            assert process.poll() in (None, 0), moment
            process.kill()
    made.done("reset", "dev")
    works(made)
    assert set(made.pids()) == set(SERVICES)
    assert made.sql('SELECT count(*) FROM "user"') == [(1,)]


def test_what_a_killed_tool_was_running_is_ended_by_the_next_command(make: MakeProcesses):
    made = make()
    with made.running("start") as process:
        wait_until(lambda: made.marked("COMMAND") and "app.db.stamp" in made.log())
        process.kill()
        orphans = made.marked("COMMAND")
        at = {pid: started(pid) for pid in orphans}
    assert orphans
    made.done("start")
    assert gone(orphans, at)
    works(made)


def commands(dev: Processes) -> int:
    """How many changing commands the tool has begun since it was called."""
    return len(_COMMAND.findall(dev.log().split(" begin: ")[-1]))


@pytest.mark.parametrize("words", [(), ("--undo",)], ids=["reset", "undo"])
@pytest.mark.parametrize("step", range(2, 10))
def test_killed_at_any_step_the_next_command_puts_it_right(dev: Processes, words: tuple[str, ...], step: int):
    dev.done("reset", "dev")
    remember(dev, "before")
    with dev.running("reset", "dev", *words) as process:
        wait_until(lambda: commands(dev) >= step or process.poll() is not None)
        process.kill()
    dev.done("start")
    works(dev)
    assert len(remembered(dev, "before")) == 1
    assert databases(dev) == OURS


@pytest.mark.parametrize("command", ["stop", "restart"])
def test_killed_while_services_stop(dev: Processes, command: str):
    remember(dev, "stopped")
    with dev.running(command) as process:
        wait_until(lambda: len(dev.pids()) < len(SERVICES))
        process.kill()
    dev.done("start")
    works(dev)
    assert remembered(dev, "stopped") == {True}
    dev.done("reset", "dev")


@pytest.mark.parametrize("command", [("start",), ("reset", "dev")], ids=["start", "reset"])
def test_ctrl_c_at_any_step_leaves_what_the_next_one_goes_on_with(
    make: MakeProcesses,
    environment: dict[str, str],
    on_terminal: Callable[..., Terminal],
    command: tuple[str, ...],
):
    made = make()
    environment.update(made.variables)
    for moment in ("start postgres", "make the database", "make a template", "start api"):
        terminal = on_terminal(*made.command, *command)
        terminal.wait_for(moment)
        terminal.type("\x03")
        assert terminal.exit_code() == 130, terminal.screen
        assert "Traceback" not in terminal.screen
        wait_until(lambda: made.marked("COMMAND") == [], 10)  # a check of health may be just ending
    made.done(*command)
    works(made)
    assert set(made.pids()) == set(SERVICES)
