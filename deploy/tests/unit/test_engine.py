"""The doors to the engine where there is none, or an unfit one; how ports, times and processes are read."""

from __future__ import annotations

import gc
import os
import socket
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from opentr import state
from opentr.containers import Engine, instant
from opentr.errors import ExitCode
from opentr.errors.engine import BuildxMissing, ComposeMissing, ComposeTooOld, EngineMissing
from opentr.runtimes import lifetime, ports
from opentr.runtimes.docker_command import compose_command, require_buildx
from opentr.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from opentr.state import State


@pytest.fixture
def opened(state_dir: Path) -> State:
    return state.opened(Settings(state_dir=state_dir))


def docker(folder: Path, compose: str) -> Path:
    """A docker command in this folder, which answers `compose version` with this shell code."""
    folder.mkdir()
    program = folder / "docker"
    program.write_text(f'#!/bin/sh\n[ "$1" = compose ] || exit 1\n{compose}\n')
    program.chmod(0o755)
    return program


@pytest.fixture
def leaking() -> Iterator[None]:
    """The SDK leaves a socket unclosed whose connecting fails; it is collected within the test that knows it."""
    yield
    gc.collect()


unreachable = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@unreachable
@pytest.mark.usefixtures("leaking")
def test_no_socket_means_no_engine_and_says_how_to_get_one(tmp_path: Path):
    host = f"unix://{tmp_path}/none.sock"
    with pytest.raises(EngineMissing, match=f"no Docker engine answers at {host}: No such file") as caught:
        Engine(host).version()
    assert "scripts/docker_engine.sh --install" in caught.value.hint
    assert caught.value.exit_code is ExitCode.BLOCKED


@unreachable
@pytest.mark.usefixtures("leaking")
def test_a_socket_on_which_nobody_listens_is_no_engine(tmp_path: Path):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead.sock"))
        with pytest.raises(EngineMissing, match="Connection refused"):
            Engine(f"unix://{tmp_path}/dead.sock").version()


@unreachable
@pytest.mark.usefixtures("leaking")
@pytest.mark.parametrize("host", ["tcp://127.0.0.1:1", "garbage", "ssh://nobody@127.0.0.1"])
def test_a_wrong_address_is_told_as_one(host: str):
    with pytest.raises(EngineMissing) as caught:
        Engine(host).version()
    assert "DOCKER_HOST" in caught.value.hint
    assert "HTTPConnection" not in caught.value.what


def test_an_old_docker_earlier_on_path_is_passed_over(tmp_path: Path, opened: State, monkeypatch: pytest.MonkeyPatch):
    docker(tmp_path / "old", "echo \"docker: 'compose' is not a docker command.\" >&2; exit 1")
    good = docker(tmp_path / "good", "echo 2.26.1-4")
    monkeypatch.setenv("PATH", f"{tmp_path}/old:{tmp_path}/good:{os.environ['PATH']}")
    assert compose_command(opened) == str(good)


def test_the_answer_is_kept_until_a_docker_command_changes(
    tmp_path: Path, opened: State, monkeypatch: pytest.MonkeyPatch
):
    good = docker(tmp_path / "good", f"echo asked >>{tmp_path}/log; echo 2.30.0")
    monkeypatch.setenv("PATH", f"{tmp_path}/good:{os.environ['PATH']}")
    assert [compose_command(opened), compose_command(opened)] == [str(good)] * 2
    assert (tmp_path / "log").read_text() == "asked\n"
    os.utime(good, (1, 1))
    compose_command(opened)
    assert (tmp_path / "log").read_text() == "asked\nasked\n"


def test_an_old_compose_is_refused_with_its_version(tmp_path: Path, opened: State, monkeypatch: pytest.MonkeyPatch):
    docker(tmp_path / "old", "echo 2.17.3")
    monkeypatch.setenv("PATH", f"{tmp_path}/old")
    with pytest.raises(ComposeTooOld, match=r"too old: 2\.17\.3; 2\.24 or newer"):
        compose_command(opened)


def test_no_docker_command_at_all_is_told(tmp_path: Path, opened: State, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ComposeMissing, match="there is no docker command on PATH"):
        compose_command(opened)


def test_a_docker_command_that_cant_build_is_told(tmp_path: Path):
    with pytest.raises(BuildxMissing):
        require_buildx(str(docker(tmp_path / "bare", "exit 0")))


def test_the_taken_port_is_found_in_what_engines_say():
    begin = "Error response from daemon: driver failed programming external connectivity on endpoint x (ab12): "
    proxy = f"{begin}Error starting userland proxy: listen tcp4 127.0.0.1:8000: bind: address already in use"
    allocated = f"{begin}Bind for 127.0.0.1:8001 failed: port is already allocated"
    newer = "failed to bind host port for 127.0.0.1:8002:172.18.0.2:80/tcp: address already in use"
    assert [ports.taken(text) for text in (proxy, allocated, newer)] == [8000, 8001, 8002]
    assert ports.taken("Error: No such container 8000") is None


def test_the_holder_of_a_port_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"(pid {os.getpid()})" in str(ports.holder(port))
    assert ports.holder(port) is None


def test_times_of_the_engine_are_read_with_any_number_of_decimals():
    expected = datetime(2026, 1, 2, 3, 4, 5, 120000, tzinfo=UTC)
    assert [instant(f"2026-01-02T03:04:05{rest}Z") for rest in (".12", ".120000999")] == [expected] * 2
    assert instant("2026-01-02T03:04:05Z") == expected.replace(microsecond=0)


def test_a_process_is_known_to_live_or_to_be_over():
    assert not lifetime.is_over(lifetime.own())
    namespace, pid, _ = lifetime.own().split(".")
    assert lifetime.is_over(f"{namespace}.{pid}.1"), "another one that had our pid before"
    assert not lifetime.is_over(f"1.{pid}.1"), "of another namespace: not to be known"
    assert not lifetime.is_over(f"{namespace}."), "what is read of a process that is just ending may be a part"
    with subprocess.Popen(["/bin/true"]) as ended:
        ended.wait()
    assert lifetime.is_over(f"{namespace}.{ended.pid}.1")
