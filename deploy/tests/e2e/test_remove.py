"""`clean`, `remove` and `purge`: what is ours goes, after it was told, and nothing else."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.e2e.watching import sql

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.conftest import MakeStack
    from tests.stacks import Stack


@pytest.fixture(scope="module")
def other(stacks: MakeStack) -> Stack:
    """Somebody else's stack, which nobody may touch."""
    made = stacks()
    made.done("start", "--profile", "infra")
    return made


@pytest.fixture
def ours(stack: Stack, other: Stack) -> Iterator[Stack]:
    """A stack of this test, beside the other one."""
    stack.done("start", "--profile", "infra")
    before = everything(other)
    yield stack
    assert everything(other) == before


def everything(stack: Stack) -> dict[str, object]:
    """What there is of a stack."""
    return {
        "containers": {each.id: each.started for each in stack.engine.containers(stack.project)},
        "volumes": [each.name for each in stack.engine.volumes(stack.project)],
        "networks": [each.name for each in stack.engine.networks(stack.project)],
        "state": sorted(each.name for each in stack.state.iterdir()) if stack.state.exists() else [],
    }


def images(stack: Stack) -> list[str]:
    found = json.loads((stack.state / "images.json").read_text())["references"]
    return [name for name in found if stack.engine.image(name)]


@pytest.mark.parametrize("command", ["remove", "purge"])
def test_what_destroys_wants_the_name_written_out(ours: Stack, command: str):
    before = everything(ours)
    assert ours(command).returncode == 2
    said = ours(command, "dev")
    assert said.returncode == 3
    assert f"{ours.project}-postgres-1" in said.stderr
    assert everything(ours) == before


def test_purge_takes_no_yes(ours: Stack):
    assert ours("purge", "dev", "--yes").returncode == 2
    said = ours("purge", "dev")
    assert f"{ours.project}_postgres-data (" in said.stderr
    assert " MB)" in said.stderr


def test_a_plan_changes_nothing(ours: Stack):
    before = everything(ours)
    for command in ("remove", "purge", "clean"):
        ours.done(command, "dev", "--plan")
    assert everything(ours) == before


def test_remove_keeps_the_data(ours: Stack):
    sql(ours, "INSERT INTO tag (name) VALUES ('kept')")
    ours.done("remove", "dev", "--yes")
    left = everything(ours)
    assert left["containers"] == {}
    assert left["networks"] == []
    assert left["volumes"]
    ours.done("start", "--profile", "infra")
    assert sql(ours, "SELECT name FROM tag WHERE name = 'kept'") == "kept"


def test_purge_leaves_nothing(ours: Stack):
    names = images(ours)
    assert names
    ours.done("purge", "dev", "--confirm", "dev")
    assert everything(ours) == {"containers": {}, "volumes": [], "networks": [], "state": []}
    assert [name for name in names if ours.engine.image(name)] == []
    assert ours("purge", "dev", "--confirm", "dev").returncode == 0


def test_half_of_it_is_enough_to_remove_the_rest(ours: Stack):
    ours.engine.remove_container(ours.containers()["postgres"].id, grace=0)
    (ours.state / "compose.env").unlink()
    ours.done("remove", "dev", "--yes")
    ours.done("purge", "dev", "--confirm", "dev")
    assert everything(ours) == {"containers": {}, "volumes": [], "networks": [], "state": []}


def test_clean_removes_images_that_nothing_uses(ours: Stack):
    names = images(ours)
    old = f"{ours.project}/redis:0000000000000000"
    ours.engine.tag(names[0], old)
    record = ours.state / "images.json"
    record.write_text(json.dumps({"references": [*names, old]}))
    said = ours("clean", "--yes")
    assert said.returncode == 0, said.stderr
    assert f"remove the image {old} (" in said.stderr
    assert ours.engine.image(old) is None
    assert images(ours) == names
    assert "There is nothing to remove." in ours.done("clean", "--yes")


def test_clean_drops_templates_that_nothing_uses(ours: Stack):
    sql(ours, "CREATE DATABASE opentranscribe_template_000000000000", "postgres")
    sql(ours, "CREATE DATABASE opentranscribe_templates_of_mine", "postgres")
    ours.done("clean", "--yes")
    names = sql(ours, "SELECT datname FROM pg_database WHERE datname LIKE '%template%'", "postgres").split()
    assert "opentranscribe_template_000000000000" not in names
    assert "opentranscribe_templates_of_mine" in names


def test_a_container_that_is_not_ours_stays(ours: Stack):
    words = [
        "docker",
        "run",
        "--detach",
        "--label",
        f"com.docker.compose.project={ours.project}",
        "--entrypoint",
        "sleep",
    ]
    image = next(name for name in images(ours) if "/redis:" in name)
    label = ["--label", f"org.opentranscribe.state={ours.state.joinpath('id').read_text().strip()}x"]
    foreign = subprocess.run([*words, *label, image, "600"], check=True, capture_output=True, text=True).stdout.strip()
    try:
        said = ours("purge", "dev", "--confirm", "dev")
        assert said.returncode == 4
        assert ours.engine.container(foreign) is not None
    finally:
        ours.engine.remove_container(foreign, grace=0)
