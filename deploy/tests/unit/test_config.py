from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest

from opentr import settings, state
from opentr.actions import config
from opentr.errors import ExitCode
from opentr.settings import example

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import RunTool


@pytest.fixture
def free_ports() -> dict[str, str]:
    """Settings whose ports nobody holds: those of a user's own environment stay out of these tests."""
    return {f"OPENTR_{name}_PORT": "0" for name in ("POSTGRES", "PGBOUNCER", "REDIS", "API", "PROXY")}


def test_the_settings_are_shown_with_where_they_come_from(opentr: RunTool, tmp_path: Path):
    file = tmp_path / ".env.mine"
    file.write_text("# ours\nOPENTR_POSTGRES_MEMORY=2g\n")
    said = opentr("config", "show", OPENTR_ENV_FILE=str(file), OPENTR_API_PORT="8123")
    assert (said.returncode, said.stderr) == (0, "")
    lines = [line.split(maxsplit=2) for line in said.stdout.splitlines()]
    assert lines[0] == ["SETTING", "VALUE", "FROM"]
    assert ["OPENTR_POSTGRES_MEMORY", "2g", ".env.mine, line 2"] in lines
    assert ["OPENTR_API_PORT", "8123", "environment"] in lines
    assert ["OPENTR_PGBOUNCER_POOL_SIZE", "-", "default"] in lines
    assert [line[0] for line in lines[1:]] == list(settings.KEYS)


def test_the_settings_are_data_too(opentr: RunTool):
    shown = json.loads(opentr("config", "show", "settings", "prod", "--json").stdout)
    assert shown["OPENTR_PROJECT"] == {"value": "opentr-prod", "origin": "default"}
    assert shown["OPENTR_PGBOUNCER_POOL_SIZE"]["value"] is None


def test_the_pools_arithmetic_stands_before_its_file(opentr: RunTool):
    said = opentr("config", "show", "pgbouncer", OPENTR_POSTGRES_MAX_CONNECTIONS="200")
    assert said.stdout.startswith(
        "max_db_connections = 187: all that PgBouncer may open\n    200 connections of Postgres"
    )
    assert "\n==> config/pgbouncer/pgbouncer.ini <==\n" in said.stdout
    assert "\nmax_db_connections = 187\n" in said.stdout


@pytest.mark.parametrize(
    ("words", "file"),
    [
        (["postgres"], "postgres/pg_hba.conf"),
        (["postgres", "prod"], "postgres/postgresql.conf"),
        (["redis"], "redis/redis.conf"),
        (["proxy"], "proxy/haproxy.cfg"),
    ],
)
def test_a_services_configuration_is_shown(opentr: RunTool, words: list[str], file: str):
    assert f"==> config/{file} <==" in opentr("config", "show", *words).stdout
    files = json.loads(opentr("config", "show", *words, "--json").stdout)["files"]
    assert f"config/{file}" in files


def test_showing_makes_no_state(opentr: RunTool, state_dir: Path):
    for words in (["show"], ["show", "pgbouncer"], ["path"], ["check"]):
        opentr("config", *words)
    assert not state_dir.exists()


def test_the_path_is_that_of_the_environments_state(opentr: RunTool, state_dir: Path):
    assert opentr("config", "path").stdout == f"{state_dir}/opentr-dev\n"
    assert opentr("config", "path", "prod").stdout == f"{state_dir}/opentr-prod\n"


def test_another_word_than_those_that_can_be_shown_is_wrong_usage(opentr: RunTool):
    said = opentr("config", "show", "worker")
    assert (said.returncode, said.stdout) == (ExitCode.USAGE, "")
    assert "'worker' is not one of 'settings'" in said.stderr


def test_a_broken_file_is_two_lines(opentr: RunTool, tmp_path: Path):
    file = tmp_path / ".env"
    file.write_text("OPENTR_API_PORT=8000\nOPENTR_POSTGRES_MEMRY=1g\n")
    said = opentr("config", "check", OPENTR_ENV_FILE=str(file))
    assert said.returncode == ExitCode.USAGE
    assert said.stderr.splitlines() == [
        ".env, line 2: no such setting OPENTR_POSTGRES_MEMRY; did you mean OPENTR_POSTGRES_MEMORY?",
        "correct or unset it; .env.example lists what there is",
    ]


def test_the_example_can_be_used_as_it_is(opentr: RunTool, tmp_path: Path, free_ports: dict[str, str]):
    file = tmp_path / ".env"
    file.write_text(example.text())
    said = opentr("config", "check", OPENTR_ENV_FILE=str(file), **free_ports)
    assert (said.returncode, said.stderr) == (0, "")


def test_what_can_work_is_said_to(opentr: RunTool, free_ports: dict[str, str]):
    said = opentr("config", "check", OPENTR_WORKER_MEMORY="256m", **free_ports)
    assert (said.returncode, said.stdout) == (
        0,
        "nothing to remark: the settings can work here, and what runs has them\n",
    )
    assert opentr("config", "check", "--json", OPENTR_WORKER_MEMORY="256m", **free_ports).stdout == "[]\n"


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"OPENTR_POSTGRES_MEMORY": "900000g"}, "✗ OPENTR_POSTGRES_MEMORY=900000g is more than this machine's"),
        ({"OPENTR_API_CPUS": "5000"}, "✗ OPENTR_API_CPUS=5000 is more than this machine's"),
        ({"OPENTR_POSTGRES_SHM_SIZE": "2g"}, "✗ OPENTR_POSTGRES_SHM_SIZE=2g is more than its memory, 1g"),
        (
            {"OPENTR_API_PORT": "1234", "OPENTR_REDIS_PORT": "1234"},
            "✗ OPENTR_REDIS_PORT and OPENTR_API_PORT are both 1234",
        ),
    ],
)
def test_what_cannot_work_here_is_a_blocker(
    opentr: RunTool, free_ports: dict[str, str], wrong: dict[str, str], what: str
):
    said = opentr("config", "check", **(free_ports | wrong))
    assert said.returncode == ExitCode.BLOCKED
    assert what in said.stdout


def test_a_taken_port_is_a_blocker(opentr: RunTool, free_ports: dict[str, str]):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = opentr("config", "check", "--json", **(free_ports | {"OPENTR_API_PORT": str(port)}))
    assert said.returncode == ExitCode.BLOCKED
    blockers = [one for one in json.loads(said.stdout) if one["blocks"]]
    assert [one["what"] for one in blockers] == [
        f"the port {port}, at which api is to be reached, is taken by another program"
    ]


def test_a_renamed_prod_is_told_because_it_would_get_a_database_of_its_own(tmp_path: Path):
    ours = {"OPENTR_ENV_FILE": "none", "OPENTR_STATE_DIR": str(tmp_path), "OPENTR_PROXY_PORT": "0"}
    state.opened(settings.read("prod", ours))
    renamed = settings.read("prod", ours | {"OPENTR_PROJECT": "new"})
    assert "opentr-prod was: it has a database of its own" in next(iter(config.renamed(renamed))).what
    assert list(config.renamed(settings.read("prod", ours))) == []
