"""The same command in either runtime: what people are told, and what is written down about it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from opentr import credentials
from opentr.actions import build, database, logs, rebuild, start
from opentr.actions import environment as environments
from opentr.errors import ProcessFailed
from opentr.errors.engine import ImageUnknown
from opentr.errors.services import DiskFull, NothingLogged
from opentr.errors.state import VolumeVanished
from opentr.runtimes.base import ServiceState
from opentr.runtimes.embedded import Embedded
from opentr.server import generations, psql
from tests.unit.environments import as_processes, in_containers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from opentr.actions.environment import Environment


@pytest.fixture
def processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    return as_processes(tmp_path, monkeypatch)


@pytest.fixture
def containers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    return in_containers(tmp_path, monkeypatch)


def test_the_first_line_says_where_and_why(containers: Environment, processes: Environment):
    assert environments.first_line(containers) == "opentr-test on Docker Compose (an engine that isn't there)"
    assert environments.first_line(processes) == "opentr-test as local processes (there is no engine)"


@pytest.mark.parametrize("opened", [in_containers, as_processes])
def test_before_anything_is_started_the_runtime_is_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: Callable[..., Environment]
):
    environment = opened(tmp_path, monkeypatch)
    assert not environments.is_prepared(environment)
    environments.prepare(environment, {})
    assert environments.is_prepared(environment)
    assert environment.state.read("runtime") == {"name": environment.runtime.name}


def test_configuration_says_the_places_of_the_runtime(containers: Environment, processes: Environment):
    for environment in (containers, processes):
        environments.prepare(environment, {})
        written = (environment.state.folder / "config/postgres/postgresql.conf").read_text()
        assert f"data_directory = '{environment.runtime.places.postgres_data}'" in written


def test_the_app_is_told_where_the_runtime_has_postgres(containers: Environment, processes: Environment):
    address = processes.runtime.within("postgres", 5432)
    assert address.startswith("127.0.0.1:")
    told = database.addresses(processes.runtime, "opentranscribe_next")
    assert told == {
        "DATABASE_URL": f"postgresql+psycopg2://app_rw@{address}/opentranscribe_next",
        "MIGRATOR_DATABASE_URL": f"postgresql+psycopg2://app_migrator@{address}/opentranscribe_next",
    }
    assert "@postgres:5432/x" in database.addresses(containers.runtime, "x")["DATABASE_URL"]


def test_data_that_has_vanished_is_told_by_what_it_was_in(processes: Environment):
    processes.state.write("database", {"made_at": "2026-01-02T03:04:05+00:00"})
    with pytest.raises(VolumeVanished, match="is gone: its folder isn't there"):
        environments.refuse_vanished(processes)


def test_without_processes_there_is_no_log(processes: Environment, monkeypatch: pytest.MonkeyPatch):
    @contextmanager
    def opened(*_: object, **__: object) -> Iterator[Environment]:
        yield processes

    monkeypatch.setattr(logs, "opened", opened)
    with pytest.raises(NothingLogged, match="opentr-test has no process of redis, so there is no log"):
        next(logs.entries("dev", logs.Wanted(("redis",))))


def test_with_all_packages_there_is_nothing_to_build(
    processes: Environment, containers: Environment, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Embedded, "packages_missing", lambda _: False)
    assert build.steps(processes) == []
    assert build.current(processes) == build.images(processes) == {}
    assert build.nothing_words(processes) == "All packages are there; there are no images."
    assert build.nothing_words(containers) == "All images are up to date."


def test_missing_packages_are_installed_once(processes: Environment, monkeypatch: pytest.MonkeyPatch):
    installed: list[str] = []
    monkeypatch.setattr(Embedded, "packages_missing", lambda _: not installed)
    monkeypatch.setattr(Embedded, "install_packages", lambda _: installed.append("packages"))
    (step,) = build.steps(processes, ["api"], no_cache=True)
    assert step.what == "install the packages of the API and the worker (a minute, once)"
    assert step.how == "scripts/venv.sh embedded"
    assert build.images(processes) == {}
    assert installed == ["packages"]
    assert build.steps(processes) == []


def test_what_is_built_has_a_name_that_we_know(processes: Environment):
    with pytest.raises(ImageUnknown):
        build.steps(processes, ["apo"])


def test_rebuilding_puts_the_processes_in_place(processes: Environment):
    *_, writing, last = rebuild.steps(processes, ("api", "worker"))
    writing.do()
    assert environments.prepared_images(processes) == {}
    assert last.what == "put api, worker in place"
    assert last.how == processes.runtime.shown("up", ("api", "worker"))


def test_a_full_disk_is_told_without_a_path_or_an_engine():
    with pytest.raises(DiskFull) as caught:
        psql.refuse_full(ProcessFailed("psql", 3, "ERROR: could not extend file: No space left on device"))
    assert caught.value.what == "Postgres failed: no room left in the folder of Postgres's data"
    assert "docker" not in caught.value.hint


def test_room_is_asked_where_the_service_has_its_data():
    asked: list[object] = []

    class Asked:
        def run_in(self, service: str, argv: list[str]) -> str:
            asked.extend([service, *argv])
            return "    Avail\n12345\n"

    runtime: Any = Asked()
    assert psql.free_bytes(runtime) == 12345
    assert asked == ["postgres", "sh", "-c", 'df --output=avail --block-size=1 "$PGDATA"']


def test_what_has_no_image_is_as_it_should_be_if_the_runtime_says_so(
    processes: Environment, monkeypatch: pytest.MonkeyPatch
):
    up = [ServiceState(name, "running", "healthy") for name in processes.runtime.defined]
    monkeypatch.setattr(Embedded, "services", lambda _: up)
    monkeypatch.setattr(Embedded, "volumes", lambda _: ("postgres-data",))
    monkeypatch.setattr(Embedded, "outdated", lambda _: ["api"])
    monkeypatch.setattr(generations, "databases", lambda _: {generations.LIVE: None})
    credentials.applied(processes.state, environments.prepare(processes, {}))
    processes.state.write("database", {"made_at": "2026-01-02T03:04:05+00:00"})
    assert start.steps(processes, ["postgres", "redis", "worker"]) == []
    assert [step.what for step in start.steps(processes, ["redis", "api"])][-1] == "start api"
