from __future__ import annotations

from pathlib import Path

import pytest

from opentr.runtimes.argv import Project

PROJECT = Project(("docker", "--host", "unix:///s"), "p", Path("/a b"), Path("/a b/c.yml"), Path("/state/compose.env"))
BEGIN = ["docker", "--host", "unix:///s", "compose", "--project-name", "p", "--project-directory", "/a b"]
BEGIN += ["--env-file", "/state/compose.env", "--file", "/a b/c.yml", "--profile", "*", "--progress", "quiet"]


@pytest.mark.parametrize(
    ("argv", "end"),
    [
        (PROJECT.up(["api", "redis"]), "up --detach --no-build --pull never api redis"),
        (PROJECT.stop([]), "stop"),
        (PROJECT.restart(["api"]), "restart --no-deps api"),
        (PROJECT.down(volumes=False), "down --remove-orphans"),
        (PROJECT.down(volumes=True), "down --remove-orphans --volumes"),
    ],
)
def test_the_commands_that_change_services(argv: list[str], end: str):
    assert argv == [*BEGIN, *end.split()]


def test_a_program_in_a_container_of_its_own():
    argv = PROJECT.run("migrate", ["a", "b c"], name="n", owner="1.2.3", environment={"X": "y z"}, tty=False)
    label = "org.opentranscribe.oneoff=1.2.3"
    once = ["run", "--rm", "--no-deps", "--name", "n", "--label", label, "--no-TTY", "--env", "X=y z"]
    assert argv == [*BEGIN, *once, "migrate", "a", "b c"]
    assert "--no-TTY" not in PROJECT.run("migrate", ["a"], name="n", owner="1", environment={}, tty=True)


def test_a_program_in_a_running_container():
    begin = ["docker", "--host", "unix:///s", "exec", "--interactive"]
    assert PROJECT.exec("id", ["psql", "-c", "select 1"]) == [*begin, "id", "psql", "-c", "select 1"]
    assert PROJECT.exec("id", ["sh"], tty=True) == [*begin, "--tty", "id", "sh"]
