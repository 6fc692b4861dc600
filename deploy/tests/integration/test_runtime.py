"""What every runtime promises (opentr.runtimes.base), asked of real services."""

from __future__ import annotations

import itertools
import os
import secrets
import tempfile
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from opentr.errors import ProcessFailed, ProcessTimedOut
from opentr.errors.services import ServiceNotRunning
from opentr.runtimes.base import INFRA, LogQuery, Owner, Runtime
from opentr.settings import CHECKOUT
from tests.integration.conftest import prepared
from tests.stacks import variables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentr.actions.environment import Environment
    from tests.stacks import Stack

NOTES = f"/tmp/opentr-test-{secrets.token_hex(4)}"  # noqa: S108 - a container's, or of this name alone
SAY = "CREATE FUNCTION pg_temp.say(words text) RETURNS void LANGUAGE plpgsql AS 'BEGIN RAISE LOG ''%'', words; END';"


@pytest.fixture(scope="module", params=["compose", "embedded"])
def environment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """dev on the runtime under test. Only containers need an engine."""
    if request.param == "compose":
        made: Environment = request.getfixturevalue("compose_environment")
        return made
    return prepared(variables(tmp_path_factory.mktemp("state")), "embedded")


@pytest.fixture(scope="module")
def compose_environment(stack: Stack) -> Environment:
    return prepared(stack.ours, "compose")


@pytest.fixture(scope="module")
def runtime(environment: Environment) -> Iterator[Runtime]:
    try:
        environment.runtime.up(INFRA)
        yield environment.runtime
    finally:
        environment.runtime.down(volumes=True)


@pytest.fixture
def redis(runtime: Runtime) -> Iterator[Runtime]:
    """For tests that stop redis: it is up again afterwards."""
    yield runtime
    runtime.up(["redis"])


@pytest.fixture
def note(runtime: Runtime) -> Iterator[str]:
    """A file that programs in a service may write, in a folder with nothing else in it."""
    runtime.run_in("postgres", ["mkdir", NOTES])
    yield f"{NOTES}/note"
    runtime.run_in("postgres", ["rm", "-r", NOTES])


def psql(sql: str) -> list[str]:
    return ["psql", "-XAtq", "-U", "postgres", "-d", "postgres", "-c", sql]


def say(runtime: Runtime, words: str) -> None:
    """Makes postgres write these words into its log, and waits until the last line about them is there."""
    words = f"SELECT pg_temp.say('{words}')"
    runtime.run_in("postgres", ["psql", "-XAtq", "-U", "postgres", "-d", "postgres"], stdin=SAY + words)
    while not any(line.text.endswith(words) for line in runtime.logs(LogQuery(("postgres",)))):
        pass


def data_services(runtime: Runtime) -> list[str]:
    return [name for name in runtime.defined if name in INFRA]


def state_of(runtime: Runtime, service: str) -> str:
    return next(each.state for each in runtime.services() if each.service == service)


def test_what_is_up_is_healthy_and_what_isnt_there_is_missing(runtime: Runtime):
    found = {each.service: each for each in runtime.services()}
    assert list(found) == list(runtime.defined)
    assert all(found[name].healthy for name in data_services(runtime))
    assert found["postgres"].since is not None
    assert (datetime.now(UTC) - found["postgres"].since).total_seconds() < 600
    assert found["postgres"].version == (CHECKOUT / "VERSION").read_text().strip()
    assert found["api"].state == "missing"


def test_up_again_leaves_what_is_unchanged_alone(runtime: Runtime):
    before = runtime.services()
    runtime.up(INFRA)
    assert runtime.services() == before


def test_its_containers_and_volumes_say_whose_they_are(environment: Environment, runtime: Runtime):
    assert runtime.owners() == [Owner(environment.state.id, str(CHECKOUT))]
    assert set(runtime.volumes()) >= {"postgres-data", "redis-data"}


def test_an_address_is_where_the_service_is_reached(runtime: Runtime):
    address = runtime.address("redis", 6379)
    assert address is not None
    assert address.startswith("127.0.0.1:")
    assert address in next(each.addresses for each in runtime.services() if each.service == "redis")
    assert runtime.address("redis", 1) is None
    assert runtime.address("api", 8000) is None


def test_a_program_in_a_service_gets_its_stdin_and_gives_its_stdout(runtime: Runtime):
    assert runtime.run_in("postgres", ["cat"], stdin="first\nsecond ü") == "first\nsecond ü"


def test_a_program_that_fails_in_a_service_raises_with_its_words(runtime: Runtime):
    with pytest.raises(ProcessFailed, match="division by zero"):
        runtime.run_in("postgres", psql("SELECT 1/0"))


def test_a_program_that_hangs_in_a_service_is_left_after_its_deadline(runtime: Runtime):
    with pytest.raises(ProcessTimedOut):
        runtime.run_in("postgres", ["tail", "-f", "/dev/null"], deadline=0.5)


def test_nothing_runs_in_a_service_that_doesnt_run(runtime: Runtime):
    for run in (runtime.run_in, runtime.attach_to, runtime.stream):
        with pytest.raises(ServiceNotRunning, match="api is not running"):
            run("api", ["true"])


def test_bytes_pass_through_a_service_as_they_are(runtime: Runtime):
    sent = os.urandom(1 << 20)
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target:
        source.write(sent)
        source.seek(0)
        runtime.stream("postgres", ["cat"], source=source, target=target)
        target.seek(0)
        assert target.read() == sent


def test_attached_gives_the_exit_code(runtime: Runtime):
    assert runtime.attach_to("postgres", ["sh", "-c", "exit 7"]) == 7


def test_held_lasts_as_long_as_its_block(runtime: Runtime, note: str):
    with runtime.held("postgres", ["sh", "-c", f"echo ready; read -r line; echo gone >{note}"]) as line:
        assert line == "ready"
        assert runtime.run_in("postgres", ["ls", NOTES]).split() == []
    assert runtime.run_in("postgres", ["cat", note]) == "gone\n"


def test_held_ends_also_when_its_block_fails(runtime: Runtime, note: str):
    with pytest.raises(KeyError), runtime.held("postgres", ["sh", "-c", f"echo a; cat; echo b >{note}"]):
        raise KeyError
    assert runtime.run_in("postgres", ["cat", note]) == "b\n"


def test_held_raises_with_the_words_of_a_program_that_ends_at_once(runtime: Runtime):
    with (
        pytest.raises(ProcessFailed, match="no such luck"),
        runtime.held("postgres", ["sh", "-c", "echo no such luck >&2; exit 3"]),
    ):
        pytest.fail("the block is not entered")


def test_run_once_has_the_services_secrets_and_the_given_environment(runtime: Runtime):
    code = "import os, sys; print(os.environ['GIVEN'], sys.stdin.read(), os.path.exists(os.environ['JWT_SECRET_FILE']))"
    said = runtime.run_once("migrate", ["python", "-c", code], stdin="in", environment={"GIVEN": "a b"})
    assert said == "a b in True\n"


def test_run_once_raises_with_the_words_of_a_program_that_fails(runtime: Runtime):
    with pytest.raises(ProcessFailed, match="no such luck") as caught:
        runtime.run_once("migrate", ["python", "-c", "import sys; sys.exit('no such luck')"])
    assert caught.value.code == 1


def test_attach_once_gives_the_exit_code(runtime: Runtime):
    assert runtime.attach_once("migrate", ["python", "-c", "raise SystemExit(7)"]) == 7


def test_logs_are_merged_by_time_and_end(runtime: Runtime):
    say(runtime, "merged")
    found = list(runtime.logs(LogQuery()))
    assert {line.service for line in found} == set(data_services(runtime))
    assert [line.time for line in found] == sorted(line.time for line in found)
    assert any("merged" in line.text for line in found)
    assert not any(line.text.endswith(("\n", "\r")) for line in found)


def test_logs_of_one_service_since_a_time_and_the_newest(runtime: Runtime):
    say(runtime, "long ago")
    moment = next(line.time for line in runtime.logs(LogQuery(("postgres",))) if "long ago" in line.text)
    say(runtime, "just now")
    found = list(runtime.logs(LogQuery(("postgres",), since=moment)))
    assert "long ago" in found[0].text
    assert {line.service for line in found} == {"postgres"}
    newest = list(runtime.logs(LogQuery(("postgres",), tail=2)))
    assert newest == found[-2:]


def test_a_very_long_line_stays_one(runtime: Runtime):
    say(runtime, "x" * 50_000)
    assert any("x" * 50_000 in line.text for line in runtime.logs(LogQuery(("postgres",))))


def test_following_goes_on_through_a_restart_without_a_line_lost_or_doubled(redis: Runtime):
    with closing(redis.logs(LogQuery(("postgres", "redis"), follow=True))) as lines:
        seen = [next(lines)]
        redis.restart(["redis"])
        say(redis, "the end of it")
        seen += itertools.takewhile(lambda line: "the end of it" not in line.text, lines)
    written = list(redis.logs(LogQuery(("redis",))))
    assert [line for line in seen if line.service == "redis"] == written
    assert sum("Ready to accept connections" in line.text for line in written) >= 2


def test_stop_leaves_the_data_and_down_removes_the_containers(redis: Runtime):
    redis.stop(["redis"])
    assert state_of(redis, "redis") == "exited"
    assert state_of(redis, "postgres") == "running"
    assert "redis-data" in redis.volumes()
