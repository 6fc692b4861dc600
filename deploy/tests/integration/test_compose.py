"""The compose runtime when things go wrong: killed tools, vanished containers, taken ports, services that fail."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from opentr import settings
from opentr.actions import build
from opentr.actions.environment import Environment, prepare
from opentr.errors.services import PortTaken, ServiceUnhealthy
from opentr.runtimes.base import LogQuery, Owner
from opentr.runtimes.compose import Compose
from tests.stacks import Stack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentr.containers import Container, Engine

TOOL = """
import sys
from opentr import settings, state
from opentr.runtimes.choose import choose
chosen = settings.read("dev")
runtime = choose(chosen, state.opened(chosen))
def ready():
    print("ready", flush=True)
"""
UP_REDIS = """
from opentr.actions import build
from opentr.actions.environment import Environment, prepare
made = Environment(chosen, runtime.state, runtime)
prepare(made, build.images(made))
runtime.up(["redis"])
ready()
"""
SLEEP = "runtime.run_once('migrate', ['sleep', '1000'])"


@pytest.fixture(scope="module")
def compose(environment: Environment) -> Compose:
    assert isinstance(environment.runtime, Compose)
    environment.runtime.up(["postgres", "redis"])
    return environment.runtime


@pytest.fixture
def redis(compose: Compose) -> Iterator[Compose]:
    """For tests that end redis: it is up again afterwards."""
    yield compose
    compose.up(["redis"])


@contextmanager
def tool(stack: Stack, code: str) -> Iterator[subprocess.Popen[str]]:
    """Another process of ours that works on the same stack; it is killed at the latest when the block is left."""
    command = [sys.executable, "-c", f"{TOOL}\n{code}"]
    with subprocess.Popen(
        command, env=stack.variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def oneoffs(stack: Stack) -> list[Container]:
    return [each for each in stack.engine.containers(stack.project) if each.oneoff]


def wait_for(condition: Callable[[], object]) -> None:
    """Asks until it is so; pytest's timeout ends it."""
    while not condition():
        pass


def remove(stack: Stack, service: str) -> None:
    """Removes a service's container as somebody else would."""
    for each in stack.engine.containers(stack.project, service=service):
        stack.engine.remove_container(each.id, grace=0)


def test_following_takes_up_a_service_that_is_made_anew(stack: Stack, redis: Compose):
    with closing(redis.logs(LogQuery(("redis",), follow=True))) as lines:
        first = next(lines)
        remove(stack, "redis")
        redis.up(["redis"])
        written = list(redis.logs(LogQuery(("redis",))))
        seen = [first]
        while written[-1] not in seen:
            seen.append(next(lines))
    assert seen[-len(written) :] == written
    assert first.time < written[0].time


def test_following_new_lines_alone_shows_no_old_ones_also_after_a_restart(redis: Compose):
    with closing(redis.logs(LogQuery(("redis",), tail=0, follow=True))) as lines:
        old = list(redis.logs(LogQuery(("redis",))))
        followed = iter(lines)
        with ThreadPoolExecutor() as pool:
            first = pool.submit(next, followed)
            redis.restart(["redis"])
            assert first.result() not in old


def test_following_since_a_time_shows_no_older_lines(redis: Compose):
    now = datetime.now(UTC)
    with closing(redis.logs(LogQuery(("postgres", "redis"), since=now, follow=True))) as lines:
        followed = iter(lines)
        with ThreadPoolExecutor() as pool:
            first = pool.submit(next, followed)
            redis.restart(["redis"])
            assert first.result().time >= now


def test_a_container_that_was_removed_behind_our_back_comes_back(stack: Stack, redis: Compose):
    remove(stack, "redis")
    redis.up(["redis"])
    assert stack.containers()["redis"].health == "healthy"


def test_a_killed_tool_lets_what_it_held_go(stack: Stack, compose: Compose):
    code = (
        "with runtime.held('postgres', ['sh', '-c', 'echo up; cat; echo gone >/tmp/killed']): ready(); sys.stdin.read()"
    )
    with tool(stack, code) as other:
        assert said(other) == "ready\n"
        compose.run_in("postgres", ["test", "!", "-e", "/tmp/killed"])  # noqa: S108 - the container's
    script = "until [ -s /tmp/killed ]; do :; done; cat /tmp/killed"
    assert compose.run_in("postgres", ["sh", "-c", script], deadline=30) == "gone\n"


def test_what_a_killed_tool_left_running_is_removed_by_the_next_one(stack: Stack, compose: Compose):
    with tool(stack, SLEEP):
        wait_for(lambda: [each for each in oneoffs(stack) if each.state == "running"])
    assert oneoffs(stack)
    assert compose.run_once("migrate", ["python", "-c", "print('next')"]) == "next\n"
    assert oneoffs(stack) == []


def test_an_interrupted_tool_takes_its_container_with_it(stack: Stack, compose: Compose):
    with tool(stack, SLEEP) as other:
        wait_for(lambda: [each for each in oneoffs(stack) if each.state == "running"])
        compose.up(["redis"])  # another command meanwhile
        assert len(oneoffs(stack)) == 1, "it belongs to a tool that runs"
        other.send_signal(signal.SIGINT)
        other.wait()
        assert oneoffs(stack) == []


def test_up_goes_on_after_the_tool_was_killed_in_it(stack: Stack, redis: Compose):
    remove(stack, "redis")
    with tool(stack, "ready(); runtime.up(['redis'])") as other:
        said(other)
    redis.up(["redis"])
    assert stack.containers()["redis"].health == "healthy"


def test_a_service_that_ends_at_once_is_told_with_its_log(stack: Stack, environment: Environment, redis: Compose):
    config = stack.state / "config" / "redis" / "redis.conf"
    remove(stack, "redis")
    good = config.read_text()
    config.unlink()
    config.write_text("no-such-directive 1\n")
    with pytest.raises(ServiceUnhealthy, match=r"redis has ended \(exit code 1\)") as caught:
        redis.up(["redis"])
    assert any("no-such-directive" in line for line in caught.value.log)
    config.write_text(good)
    prepare(environment, build.images(environment))


def test_a_taken_port_is_told_with_its_holder_and_its_setting(stack: Stack, environment: Environment, redis: Compose):
    remove(stack, "redis")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        chosen = settings.read("dev", stack.ours | {"OPENTR_REDIS_PORT": str(port)})
        other = replace(redis, settings=chosen)
        prepare(Environment(chosen, environment.state, other), build.images(environment))
        with pytest.raises(PortTaken, match=f"the port {port}, at which redis is to be reached, is taken by") as caught:
            other.up(["redis"])
    assert f"OPENTR_REDIS_PORT={port + 1}" in caught.value.hint
    prepare(environment, build.images(environment))


def test_two_projects_run_beside_each_other(
    engine: Engine, stack: Stack, compose: Compose, tmp_path_factory: pytest.TempPathFactory
):
    second = Stack(engine, tmp_path_factory.mktemp("second"))
    try:
        with tool(second, UP_REDIS) as other:
            assert said(other) == "ready\n"
        assert set(second.containers()) == {"redis"}
        assert compose.owners() == [Owner(compose.state.id, str(second.checkout))]
    finally:
        second.remove()
    assert set(stack.containers()) >= {"postgres", "redis"}


def test_containers_of_another_clone_are_seen(compose: Compose):
    clone = replace(compose, state=replace(compose.state, id="another"))
    assert [owner.state_id for owner in clone.owners()] == [compose.state.id]


def test_down_removes_the_containers_and_leaves_the_data(stack: Stack, compose: Compose):
    compose.down()
    assert stack.containers() == {}
    assert stack.engine.networks(stack.project) == []
    assert "redis-data" in compose.volumes()
    compose.down(volumes=True)
    assert compose.volumes() == ()
