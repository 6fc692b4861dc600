"""What must not be begun: on another's environment, on a state or data that are gone, beside another command."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.stacks import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import RunTool, Terminal
    from tests.e2e.conftest import MakeStack
    from tests.stacks import Stack

NOT_IN_A_CLONE = shutil.ignore_patterns(".git", ".venv", ".cache", ".opentr", "__pycache__", ".hypothesis", "*_cache")


@pytest.fixture(scope="module")
def started(stacks: MakeStack) -> Stack:
    made = stacks()
    made.done("start", "--profile", "infra")
    return made


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A second checkout, in a folder with a space in its name. It borrows this one's Python packages."""
    place = tmp_path / "a second clone"
    shutil.copytree(CHECKOUT, place, ignore=NOT_IN_A_CLONE)
    python = CHECKOUT / ".venv/bin/python"
    script = f'#!/bin/sh\nPYTHONPATH="{place}/deploy:{place}/backend" exec "{python}" -m opentr "$@"\n'
    (place / "opentr.sh").write_text(script)
    return place


@pytest.mark.parametrize("command", ["start", "stop", "status", "psql"])
def test_a_second_clone_is_refused_and_told_where_the_first_is(
    started: Stack, stacks: MakeStack, clone: Path, command: str
):
    second = stacks(checkout=clone, project=started.project)
    containers = started.containers()
    said = second(command)
    assert said.returncode == 4
    assert said.stderr.splitlines()[-2] == f"{started.project} belongs to another checkout: {CHECKOUT}"
    assert "OPENTR_PROJECT=" in said.stderr
    assert started.containers() == containers


def test_a_clone_in_a_folder_with_a_space_works_under_a_name_of_its_own(started: Stack, stacks: MakeStack, clone: Path):
    second = stacks(checkout=clone)
    second.done("start")
    assert second("health").returncode == 0
    assert started("health").returncode == 0
    said = started("status", OPENTR_PROJECT=second.project)
    assert f"{second.project} belongs to another checkout: {clone}" in said.stderr


def test_a_state_that_is_gone_is_said_with_the_way_out(started: Stack, stacks: MakeStack):
    other = stacks(project=started.project)
    said = other("start")
    assert said.returncode == 4
    what, hint = said.stderr.splitlines()[-2:]
    assert f"{started.project} was started from here with another state than {other.state}" in what
    assert "OPENTR_STATE_DIR" in hint


def test_a_volume_that_has_vanished_is_no_reason_for_an_empty_database(stack: Stack):
    stack.done("start", "--profile", "infra")
    for container in stack.engine.containers(stack.project):
        stack.engine.remove_container(container.id, grace=0)
    data = next(each for each in stack.engine.volumes(stack.project) if each.short == "postgres-data")
    stack.engine.remove_volume(data.name)
    said = stack("start")
    assert said.returncode == 4
    what, hint = said.stderr.splitlines()[-2:]
    assert "is gone: its volume isn't there" in what
    assert "./opentr.sh reset dev --hard" in hint
    assert stack.containers() == {}


def test_a_second_command_is_told_who_holds_the_lock(stack: Stack):
    first = subprocess.Popen([stack.command, "start"], env=stack.variables, stderr=subprocess.PIPE, text=True)
    with first:
        assert first.stderr is not None
        assert "on Docker Compose" in first.stderr.readline()
        assert first.stderr.readline()  # its first step: it has the lock
        said = stack("stop")
        seen = stack("status")
        assert first.stderr.read() is not None
        assert first.wait() == 0
    assert said.returncode == 4
    assert f"./opentr.sh start dev (pid {first.pid}" in said.stderr
    assert seen.returncode == 0
    assert stack("health").returncode == 0


@pytest.mark.parametrize("words", [("start", "prod"), ("start", "--runtime", "compose")], ids=" ".join)
def test_an_engine_that_is_needed_and_not_there_is_said(opentr: RunTool, words: tuple[str, ...]):
    said = opentr(*words, OPENTR_ENGINE_HOST="unix:///nowhere/docker.sock")
    assert (said.returncode, said.stdout) == (4, "")
    assert "/nowhere/docker.sock" in said.stderr.splitlines()[0]
    assert len(said.stderr.splitlines()) == 2


def test_an_old_compose_is_said(stack: Stack, tmp_path: Path):
    old = tmp_path / "docker"
    old.write_text(
        '#!/bin/sh\n[ "$1 $2" = "compose version" ] || [ "$3 $4" = "compose version" ] || exit 1\necho 2.17.3\n'
    )
    old.chmod(0o755)
    for folder in ("/usr/local/bin", "/usr/bin"):
        for place in os.scandir(folder):
            link = tmp_path / place.name
            if not link.exists():
                link.symlink_to(place.path)
    said = stack("start", PATH=str(tmp_path))
    assert said.returncode == 4
    assert "2.17.3" in said.stderr.splitlines()[-2]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("OPENTR_API_PROT=8001\n", "line 1: no such setting OPENTR_API_PROT; did you mean OPENTR_API_PORT?"),
        ("\nnot a setting\n", "line 2: this is not NAME=value"),
        ("OPENTR_API_PORT=many\n", "line 1: the setting OPENTR_API_PORT can't be used"),
    ],
)
def test_a_broken_env_file_is_said_with_its_line(opentr: RunTool, tmp_path: Path, text: str, words: str):
    file = tmp_path / "broken.env"
    file.write_text(text)
    said = opentr("start", OPENTR_ENV_FILE=str(file))
    assert (said.returncode, said.stdout) == (2, "")
    assert words in said.stderr.splitlines()[0]


def test_ctrl_c_at_any_step_leaves_what_the_next_start_goes_on_with(
    stack: Stack, environment: dict[str, str], on_terminal: Callable[..., Terminal]
):
    environment.update(stack.variables)
    for moment in ("start postgres", "make the database", "make a template", "start api"):
        terminal = on_terminal(stack.command, "start")
        terminal.wait_for(moment)
        terminal.type("\x03")
        assert terminal.exit_code() == 130, terminal.screen
        assert "Traceback" not in terminal.screen
    stack.done("start")
    assert stack("health").returncode == 0
