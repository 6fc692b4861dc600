"""dev as local processes, where no Docker engine answers: the same commands, driven as their users do."""

from __future__ import annotations

import json
import os
import re
import socket
import urllib.parse
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.embedded import SERVICES, Processes, is_zombie, wait_until

if TYPE_CHECKING:
    from tests.conftest import RunTool
    from tests.embedded import MakeProcesses
    from tests.stacks import Said


@pytest.fixture(scope="module")
def begun(make: MakeProcesses) -> tuple[Processes, Said]:
    """The module's environment, and what was said when `reset dev` made it."""
    made = make()
    said = made("reset", "dev")
    assert said.returncode == 0, said.stderr
    return made, said


@pytest.fixture(scope="module")
def dev(begun: tuple[Processes, Said]) -> Processes:
    """All of it runs; its tests leave it so."""
    return begun[0]


def get(url: str, form: dict[str, str] | None = None) -> bytes:
    data = urllib.parse.urlencode(form).encode() if form else None
    with urllib.request.urlopen(url, data, timeout=30) as answer:  # noqa: S310 - our own, by http
        found: bytes = answer.read()
    return found


def remember(dev: Processes, word: str) -> None:
    """Leaves a word in all three parts of the live generation."""
    dev.sql(f"INSERT INTO tag (name) VALUES ('{word}')")
    dev.redis(f"SET remembered {word}")
    (dev.media / "remembered").write_text(word)


def remembered(dev: Processes) -> list[str]:
    """The words that are found in the three parts."""
    file = dev.media / "remembered"
    tags = dev.sql("SELECT name FROM tag WHERE name NOT IN ('Important', 'Meeting', 'Interview', 'Personal')")
    return [" ".join(name for (name,) in tags), dev.redis("GET remembered"), file.read_text() if file.exists() else ""]


def changed(dev: Processes, before: dict[str, int]) -> set[str]:
    """The services whose process is another one than before."""
    now = dev.pids()
    return {name for name in SERVICES if now.get(name) != before.get(name)}


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


# From nothing.


def test_from_nothing_to_everything_healthy(begun: tuple[Processes, Said]):
    dev, said = begun
    first = said.stderr.splitlines()[0]
    assert first.startswith(
        f"{dev.project} as local processes (no Docker engine answers at unix:///nowhere/docker.sock"
    )
    assert "to have containers: install Docker" in first
    ports = dev.ports()
    assert f"http://127.0.0.1:{ports['api']}" in said.stdout
    assert f"127.0.0.1:{ports['postgres']}/opentranscribe" in said.stdout
    assert f"app@127.0.0.1:{ports['redis']}/0" in said.stdout
    assert "pgbouncer" not in said.stdout + said.stderr
    assert dev.json("health") == {"healthy": True, "services": dict.fromkeys(SERVICES, "healthy")}
    assert dev.sql("SELECT count(*) FROM alembic_version") == [(1,)]
    assert dev.redis("PING") == "PONG"


def test_the_administrator_can_log_in(begun: tuple[Processes, Said]):
    dev, said = begun
    password = dev.password("admin")
    assert password in said.stdout
    assert password not in said.stderr
    form = {"username": "admin@example.com", "password": password}
    answer = json.loads(get(f"http://127.0.0.1:{dev.ports()['api']}/api/auth/token", form))
    assert answer["token_type"] == "bearer"  # noqa: S105 - no password


def listening(port: int) -> list[str]:
    """The addresses at which somebody listens on it (proc(5), /proc/net/tcp: in words of four bytes, lowest first)."""
    found = []
    for family, table in ((socket.AF_INET, Path("/proc/net/tcp")), (socket.AF_INET6, Path("/proc/net/tcp6"))):
        for line in table.read_text().splitlines()[1:] if table.exists() else []:
            _, local, _, state, *_ = line.split()
            address, _, number = local.partition(":")
            if (int(number, 16), state) == (port, "0A"):
                words = [bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8)]
                found.append(socket.inet_ntop(family, b"".join(words)))
    return found


def test_nobody_else_of_this_machine_gets_at_it(dev: Processes):
    """Sockets, logs, records and media are the user's alone; each service listens at this machine's own address."""
    for port in dev.ports().values():
        assert listening(port) == ["127.0.0.1"]
    for folder in (dev.home / "run", dev.home / "logs", dev.home / "data", dev.home / "postgres"):
        assert folder.stat().st_mode & 0o077 == 0
    assert "NOAUTH" in dev("exec", "redis", "--", "redis-cli", "PING").stdout


def test_an_engine_that_answers_can_be_left_out(make: MakeProcesses):
    """By `--runtime embedded`; whether one answers here makes no difference then, nor for what comes afterwards."""
    other = make()
    said = other("start", "dev", "--runtime", "embedded", "--plan", DOCKER_HOST="")
    assert said.returncode == 0, said.stderr
    assert said.stderr.splitlines()[0] == f"{other.project} as local processes (as asked for)"


# Data made anew.


def test_a_warm_reset_restarts_nothing(dev: Processes):
    remember(dev, "old")
    before = dev.pids()
    dev.done("reset", "dev")
    assert remembered(dev) == ["", "", ""]
    assert changed(dev, before) == set()
    assert dev("health").returncode == 0


def test_undo_brings_all_three_parts_back_and_undone_twice_is_redone(dev: Processes):
    dev.done("reset", "dev")
    remember(dev, "before")
    dev.done("reset", "dev")
    dev.done("reset", "dev", "--undo")
    assert remembered(dev) == ["before"] * 3
    dev.done("reset", "dev", "--undo")
    assert remembered(dev) == ["", "", ""]
    assert dev("health").returncode == 0


def test_a_session_that_is_open_is_ended_by_the_swap(dev: Processes):
    with closing(dev.connect()) as forgotten, forgotten.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM tag")
        dev.done("reset", "dev")
        assert forgotten.closed == 0
    assert dev("health").returncode == 0


def test_a_plan_changes_nothing(dev: Processes):
    remember(dev, "planned")
    before = dev.pids()
    resets = [("reset", "dev", *words) for words in ((), ("--hard",), ("--from", "migrations"))]
    for words in (*resets, ("stop",), ("restart",), ("remove", "dev"), ("purge", "dev")):
        assert "1. " in dev.done(*words, "--plan")
    assert "nothing to do" in dev.done("start", "--plan")
    assert changed(dev, before) == set()
    assert remembered(dev) == ["planned"] * 3


def test_hard_needs_a_word_and_removes_the_data(dev: Processes):
    dev.done("reset", "dev")
    remember(dev, "gone")
    said = dev("reset", "dev", "--hard")
    assert said.returncode == 3
    assert re.search(r"postgres-data \(\d+(\.\d+)? MB\)", said.stderr)
    assert remembered(dev) == ["gone"] * 3
    dev.done("reset", "dev", "--hard", "--yes")
    assert remembered(dev) == ["", "", ""]
    undo = dev("reset", "dev", "--undo")
    assert (undo.returncode, "there is no generation before this one" in undo.stderr) == (4, True)


# Start, stop and restart.


def test_a_second_start_does_nothing(dev: Processes):
    before = dev.pids()
    said = dev("start")
    assert said.returncode == 0
    assert "nothing to do: everything is as it should be" in said.stderr
    assert changed(dev, before) == set()


def test_stop_leaves_no_process_and_keeps_the_data(dev: Processes):
    dev.done("reset", "dev")
    remember(dev, "kept")
    ports = dev.ports()
    dev.done("stop")
    wait_until(lambda: dev.processes() == [])
    assert not any(listens(port) for port in ports.values())
    assert "nothing is running" in dev.done("status")
    said = dev("stop")
    assert (said.returncode, "nothing to do" in said.stderr) == (0, True)
    dev.done("start")
    assert dev.ports() == ports
    assert remembered(dev) == ["kept"] * 3


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_restarts_alone(dev: Processes, service: str):
    before = dev.pids()
    dev.done("restart", "dev", service)
    assert changed(dev, before) == {service}
    wait_until(lambda: dev("health").returncode == 0)  # the others connect anew


def test_all_restart(dev: Processes):
    before = dev.pids()
    dev.done("restart")
    assert changed(dev, before) == set(SERVICES)
    assert dev("health").returncode == 0


def test_half_of_it_is_stopped_told_and_started(dev: Processes):
    before = dev.pids()
    dev.done("stop", "dev", "postgres", "worker")
    assert "not running: postgres, worker; type ./opentr.sh start dev" in dev.done("status")
    assert json.loads(dev("health", "--json").stdout)["services"]["worker"] == "exited"
    assert set(dev.pids()) == {"redis", "api"}
    dev.done("start")
    assert changed(dev, before) == {"postgres", "worker"}
    assert dev("health").returncode == 0


def test_infra_alone_is_enough_for_those_who_run_the_app_elsewhere(make: MakeProcesses):
    """Under the longest name that a project can have: sockets have paths of at most 107 bytes."""
    infra = make()
    infra.project += "-" + "x" * (40 - len(infra.project) - 1)
    infra.done("start", "--profile", "infra")
    assert set(infra.pids()) == {"postgres", "redis"}
    assert infra("health").returncode == 0
    infra.done("reset", "dev")
    assert set(infra.pids()) == {"postgres", "redis"}


# Settings.


def test_a_setting_is_taken_on_by_the_services_that_read_it(dev: Processes):
    changes = {
        "OPENTR_WORKER_PROCESSES": ("2", {"worker"}),
        "OPENTR_REDIS_MEMORY": ("300MB", {"redis"}),
        "OPENTR_APP_LOG_LEVEL": ("DEBUG", {"api", "worker"}),
        "OPENTR_POSTGRES_SLOW_STATEMENT_MS": ("1234", {"postgres"}),
    }
    given: dict[str, str] = {}
    for name, (value, concerned) in changes.items():
        before = dev.pids()
        given[name] = value
        dev.done("config", "apply", **given)
        assert (name, changed(dev, before)) == (name, concerned)
    assert dev.done("psql", "-Atc", "SHOW log_min_duration_statement", **given) == "1234ms\n"
    before = dev.pids()
    dev.done("start")
    assert changed(dev, before) == set(SERVICES)
    assert dev.done("psql", "-Atc", "SHOW log_min_duration_statement") == "500ms\n"


def test_a_changed_password_is_taken_on(dev: Processes):
    file = dev.state / "secrets/app_rw_password"
    old, before = dev.password("app_rw"), dev.pids()
    file.unlink()
    file.write_text("another-password-of-ours\n")
    file.chmod(0o444)
    said = dev("start")
    assert said.returncode == 0, said.stderr
    assert changed(dev, before) == {"api", "worker"}
    dev.connect().close()
    for secret in (old, "another-password-of-ours"):
        assert secret not in said.stdout + said.stderr + dev.log()
    assert dev("health").returncode == 0


# Ports.


def test_a_port_that_somebody_else_took_meanwhile_is_given_up(dev: Processes):
    dev.done("stop")
    before = dev.ports()
    with socket.create_server(("127.0.0.1", before["redis"])):
        dev.done("start")
        assert {name for name, port in dev.ports().items() if port != before[name]} == {"redis"}
        assert dev("health").returncode == 0
        assert dev.redis("PING") == "PONG"
    dev.done("restart")
    assert dev.ports()["redis"] != before["redis"]


def test_a_port_that_is_set_and_taken_is_refused_with_its_holder(make: MakeProcesses):
    other = make()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = other("start", "--profile", "infra", OPENTR_REDIS_PORT=str(port))
    assert said.returncode == 4, said.stderr
    what, hint = said.stderr.splitlines()[-2:]
    assert str(port) in what
    assert f"(pid {os.getpid()})" in what
    assert "OPENTR_REDIS_PORT" in hint
    other.done("start", "--profile", "infra")
    assert other("health").returncode == 0


# What is refused.


@pytest.mark.parametrize(
    "words", [("restart", "pgbouncer"), ("logs", "pgbouncer"), ("exec", "pgbouncer", "--", "true")]
)
def test_who_names_the_pool_is_told_that_there_is_none(dev: Processes, words: tuple[str, ...]):
    said = dev(*words)
    assert said.returncode == 2
    what, hint = said.stderr.splitlines()[-2:]
    assert what == "there is no pool among local processes: the app connects to Postgres directly"
    assert hint == "leave pgbouncer out; there are: postgres, redis, api, worker"


def test_prod_is_refused(opentr: RunTool):
    said = opentr("start", "prod", "--runtime", "embedded")
    assert said.returncode == 2
    assert "the runtime embedded can't be used: prod needs what containers give" in said.stderr


def test_another_runtime_is_refused_while_the_data_is_here(dev: Processes):
    for words in (("start",), ("reset", "dev"), ("status",)):
        said = dev(*words, "--runtime", "compose")
        assert said.returncode == 4
        assert said.stderr.splitlines()[-2] == f"{dev.project} has its data in local processes, not in containers"


# The end of it.


def test_remove_keeps_the_data(dev: Processes):
    dev.done("reset", "dev")
    remember(dev, "kept")
    assert dev("remove", "dev").returncode == 3
    dev.done("remove", "dev", "--yes")
    wait_until(lambda: dev.processes() == [])
    assert {each["state"] for each in dev.json("status")["services"]} == {"missing"}
    dev.done("start")
    assert remembered(dev) == ["kept"] * 3


def test_purge_leaves_nothing(dev: Processes):
    before = dev.processes()
    said = dev("purge", "dev")
    assert said.returncode == 3
    assert dev.processes() == before
    dev.done("purge", "dev", "--confirm", "dev")
    assert dev.left() == []
    wait_until(lambda: all(is_zombie(pid) for pid in before))
