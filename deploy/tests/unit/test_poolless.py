"""Where services are local processes there is no pool: nobody waits for one, nobody may name it, and it is told."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from opentr.actions import addresses, inside, logs, reset, restart, status, stop
from opentr.actions.services import app, infra, profile, refuse_absent
from opentr.errors import ExitCode
from opentr.errors.services import PoolAbsent
from opentr.runtimes.base import ServiceState
from opentr.server import pool
from tests.unit.environments import as_processes, in_containers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from opentr.actions.environment import Environment

SAID = "there is no pool among local processes: the app connects to Postgres directly"
HINT = "leave pgbouncer out; there are: postgres, redis, api, worker"


@pytest.fixture
def processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    return as_processes(tmp_path, monkeypatch)


@pytest.fixture
def containers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    return in_containers(tmp_path, monkeypatch)


@dataclass
class Running:
    """A runtime whose services all run, at the addresses given; with or without a pool."""

    defined: tuple[str, ...]
    addresses: dict[str, str] = field(default_factory=dict)
    held_for: list[str] = field(default_factory=list)
    name: str = "embedded"

    def services(self) -> list[ServiceState]:
        return [ServiceState(name, "running", "healthy") for name in self.defined]

    def address(self, service: str, _port: int) -> str | None:
        return self.addresses.get(service)

    def shown(self, verb: str, services: Sequence[str]) -> str:
        return f"{verb} {' '.join(services)}"

    @contextmanager
    def held(self, service: str, _argv: Sequence[str]) -> Iterator[str]:
        self.held_for.append(service)
        yield "paused"


POOLED = ("postgres", "pgbouncer", "redis", "api", "worker")
POOLLESS = ("postgres", "redis", "api", "worker")


def running(environment: Environment, runtime: Running) -> Environment:
    faked: Any = runtime
    return replace(environment, runtime=faked)


def test_the_services_are_those_of_the_runtime(containers: Environment, processes: Environment):
    assert infra(containers) == profile(containers, "infra") == ("postgres", "pgbouncer", "redis")
    assert infra(processes) == profile(processes, "infra") == ("postgres", "redis")
    assert app(processes) == ("api", "worker")
    assert profile(processes, "app") == POOLLESS


@pytest.mark.parametrize("names", [["pgbouncer"], ["api", "pgbouncer"]])
def test_naming_the_pool_is_refused_in_two_lines(processes: Environment, names: list[str]):
    with pytest.raises(PoolAbsent) as caught:
        refuse_absent(processes, names)
    assert (caught.value.what, caught.value.hint) == (SAID, HINT)
    assert caught.value.exit_code is ExitCode.USAGE


def test_what_is_there_may_be_named(containers: Environment, processes: Environment):
    refuse_absent(containers, POOLED)
    refuse_absent(processes, POOLLESS)


def test_no_command_takes_a_pool_that_is_not_there(processes: Environment):
    with pytest.raises(PoolAbsent):
        restart.steps(processes, ["pgbouncer"])
    with pytest.raises(PoolAbsent):
        stop.steps(processes, ["pgbouncer"])
    with pytest.raises(PoolAbsent):
        inside.shell(processes, "pgbouncer")
    with pytest.raises(PoolAbsent):
        inside.execute(processes, "pgbouncer", ["true"])


def test_neither_do_the_logs(processes: Environment, monkeypatch: pytest.MonkeyPatch):
    @contextmanager
    def opened(*_: object, **__: object) -> Iterator[Environment]:
        yield processes

    monkeypatch.setattr(logs, "opened", opened)
    with pytest.raises(PoolAbsent):
        next(logs.entries("dev", logs.Wanted(("pgbouncer",))))


def test_only_a_pool_that_is_there_is_paused():
    runtime: Any = Running(POOLLESS)
    with pool.paused(runtime, 10):
        assert runtime.held_for == []
    runtime = Running(POOLED)
    with pool.paused(runtime, 10):
        assert runtime.held_for == ["pgbouncer"]


@pytest.mark.parametrize(("defined", "pauses"), [(POOLED, True), (POOLLESS, False)])
def test_a_plan_tells_of_a_pause_only_where_there_is_one(
    processes: Environment, defined: tuple[str, ...], *, pauses: bool
):
    there = running(processes, Running(defined))
    restarting = next(step for step in restart.steps(there, ["postgres"]) if "restart" in step.what)
    assert ("PAUSE" in restarting.how) == ("behind a paused pool" in restarting.what) == pauses
    assert "stop postgres\nup postgres" in restarting.how
    assert ("PAUSE" in reset.swap_back_step(there).how) == pauses
    assert ("ALLOW_CONNECTIONS false" in reset.swap_back_step(there).how) != pauses


def test_a_reset_begins_without_a_pool_and_makes_a_new_generation(processes: Environment):
    planned = {step.what: step.how for step in reset.steps(processes, "sql")}
    assert "start postgres" in planned
    assert "pgbouncer" not in str(list(planned))
    assert "PAUSE" not in str(planned)
    assert "redis: SWAPDB 0 1; media: current becomes previous" in planned["make a new generation from init_db.sql"]


def test_without_a_pool_the_direct_way_is_the_database(processes: Environment):
    places = {"api": "127.0.0.1:8000", "postgres": "127.0.0.1:40123", "redis": "127.0.0.1:40124"}
    told = addresses.lines(running(processes, Running(POOLLESS, places)))
    assert "database   postgresql://app_migrator@127.0.0.1:40123/opentranscribe (direct)" in told
    assert "through the pool" not in "\n".join(told)


def test_with_a_pool_the_direct_way_stands_below_it(processes: Environment):
    places = {"postgres": "127.0.0.1:5432", "pgbouncer": "127.0.0.1:6432"}
    told = addresses.lines(running(processes, Running(POOLED, places)))
    at = told.index("database   postgresql://app_rw@127.0.0.1:6432/opentranscribe (through the pool)")
    assert told[at + 1] == "           postgresql://app_migrator@127.0.0.1:5432/opentranscribe (direct)"


def test_no_pool_is_asked_for_its_state(processes: Environment):
    found = status.look(processes)
    assert (found.pool, found.without_pool) == (None, "local processes")
