"""What the embedded runtime runs, beside what docker-compose.dev.yml says."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from opentr import credentials, render, settings, state
from opentr.places import Places
from opentr.runtimes import layout
from opentr.runtimes.launch import HANDED_ON
from opentr.runtimes.launch import MARK as LAUNCHERS_MARK
from opentr.runtimes.programs import MARK, NEEDS, SERVICES, STOP, House
from opentr.settings import CHECKOUT
from tests.stacks import variables

if TYPE_CHECKING:
    from pathlib import Path

PORTS = {"postgres": 20001, "redis": 20002, "api": 20003}
FROM_THE_IMAGE = {"PATH", "TZ", "LC_ALL", "PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"}
FROM_THE_IMAGE |= {"PYDANTIC_DISABLE_PLUGINS"}
FROM_THE_IMAGE |= {"HF_HOME", "HF_HUB_DISABLE_TELEMETRY"}
ELSEWHERE = {
    "DATABASE_URL",
    "MIGRATOR_DATABASE_URL",
    "DB_BEHIND_POOLER",
    "REDIS_URL",
    "MEDIA_ROOT",
    "PROMETHEUS_MULTIPROC_DIR",
}


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setattr(layout, "postgres_programs", lambda _: tmp_path / "pg")
    monkeypatch.setattr(layout, "redis_programs", lambda: tmp_path / "redis")
    return made_house(tmp_path)


def made_house(folder: Path, **given: str) -> House:
    chosen = settings.read("dev", variables(folder, "opentr-x") | given)
    place = state.opened(chosen)
    place.install(render.files(chosen, credentials.ensure(place)))
    return House(chosen, place, layout.layout(place), Places(), PORTS)


def composed() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((CHECKOUT / "docker-compose.dev.yml").read_text(encoding="utf-8"))[
        "services"
    ]
    return found


@pytest.mark.parametrize("service", ["api", "worker", "migrate"])
def test_the_app_has_the_variables_that_it_has_in_a_container(house: House, service: str):
    there = composed()[service]["environment"]
    here = house.environment(service)
    assert here.keys() - FROM_THE_IMAGE == there.keys()
    fixed = {name: value for name, value in there.items() if "${" not in value and name not in ELSEWHERE}
    in_secrets = {name: value.replace("/run/secrets", f"{house.state.folder}/secrets") for name, value in fixed.items()}
    assert {name: here[name] for name in fixed} == in_secrets


@pytest.mark.parametrize("service", ["api", "worker"])
def test_the_app_is_started_by_the_words_that_start_it_in_a_container(house: House, service: str):
    there = shlex.split(
        composed()[service]["command"].replace("${OPENTR_WORKER_PROCESSES:?start it with ./opentr.sh}", "1")
    )
    here = [word.replace("127.0.0.1:20003", "0.0.0.0:8000") for word in house.program(service).argv]
    python, program = here[0], here.index("-m", 2) - 1  # a console script would have a path of its own inside
    assert (python.endswith("/bin/python"), here[program]) == (True, python)
    told = ["python", *here[1:program], *here[program + 2 :]]
    assert told == there


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_stopped_as_in_a_container(service: str):
    there = composed()[service]
    seconds = {"1m": 60, "30s": 30}[there["stop_grace_period"]]
    assert (f"SIG{STOP[service][0]}", STOP[service][1]) == (there["stop_signal"], seconds)
    assert set(NEEDS[service]) == {"postgres" if name == "pgbouncer" else name for name in there.get("depends_on", ())}


@pytest.mark.parametrize("service", ["api", "worker", "migrate"])
def test_the_app_writes_nothing_into_the_checkout(house: House, service: str):
    """Its umask is 077, and the user of a container that runs from the same checkout has to read that."""
    assert house.environment(service)["PYTHONDONTWRITEBYTECODE"] == "1"


def test_no_secret_is_in_the_words_or_variables_of_a_program(house: House):
    held = [place.read_text().strip() for place in (house.state.folder / "secrets").iterdir() if place.stat().st_size]
    for service in SERVICES:
        program = house.program(service)
        shown = " ".join([*program.argv, *program.environment.values()])
        assert not [secret for secret in held if secret in shown]


@pytest.mark.parametrize(
    ("service", "file"),
    [
        ("postgres", "config/postgres/postgresql.conf"),
        ("redis", "config/redis/redis.conf"),
        ("redis", "secrets/redis_users"),
        ("api", "secrets/jwt_secret"),
        ("worker", "secrets/redis_password"),
    ],
)
def test_another_content_of_a_file_that_it_reads_makes_another_program(house: House, service: str, file: str):
    before = {name: house.program(name).digest for name in SERVICES}
    place = house.state.folder / file
    place.chmod(0o600)
    place.write_text("other")
    changed = {name for name in SERVICES if house.program(name).digest != before[name]}
    assert service in changed
    assert changed <= ({"api", "worker"} if file.startswith("secrets/") and service != "redis" else {service})


def test_other_settings_make_other_programs_of_those_that_they_concern(house: House, tmp_path: Path):
    other = made_house(tmp_path, OPENTR_WORKER_PROCESSES="3")
    assert [name for name in SERVICES if house.program(name) != other.program(name)] == ["worker"]


def test_a_copied_state_takes_none_of_the_others_processes_for_its_own(tmp_path: Path):
    marks = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        place = state.opened(settings.read("dev", variables(tmp_path / name, "opentr-x")))
        (place.folder / "id").write_text("0123456789abcdef\n")
        marks.append(layout.Layout(place.folder / "processes", tmp_path, None).mark)
    assert marks[0] != marks[1]


def test_the_launcher_knows_services_by_the_same_mark_and_hands_on_nothing_of_ours():
    assert LAUNCHERS_MARK == MARK
    assert not [name for name in (MARK, *HANDED_ON) if name.startswith("OPENTR_")]
