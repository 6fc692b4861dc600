"""Images built for real, from a copy of the checkout's sources that tests may break."""

from __future__ import annotations

import secrets
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from opentr.actions import build as action
from opentr.errors.engine import BuildFailed, ImageUnknown
from opentr.errors.services import DiskFull
from opentr.runtimes.builder import Builder
from opentr.runtimes.compose import Compose
from opentr.settings import CHECKOUT
from tests.stacks import Stack

if TYPE_CHECKING:
    from pathlib import Path

    from opentr.actions.environment import Environment
    from opentr.runtimes.images import Build

TOOL = """
import sys
from pathlib import Path
from opentr import settings, state
from opentr.runtimes.builder import Builder
from opentr.runtimes.choose import choose
chosen = settings.read("dev")
runtime = choose(chosen, state.opened(chosen))
made = Builder(chosen, runtime.state, runtime.engine, Path(sys.argv[1]))
made.build(made.wanted(["redis"])[1])
"""


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """What images are made from; a path with spaces. A test's builder reads it if the test has it."""
    copy = tmp_path / "a copy"
    left_out = shutil.ignore_patterns("__pycache__", "tests", "bench")
    for name in ("images", "database", "backend"):
        shutil.copytree(CHECKOUT / name, copy / name, ignore=left_out)
    shutil.copy(CHECKOUT / "VERSION", copy)
    return copy


@pytest.fixture
def builder(environment: Environment, request: pytest.FixtureRequest) -> Builder:
    assert isinstance(environment.runtime, Compose)
    tree = request.getfixturevalue("sources") if "sources" in request.fixturenames else CHECKOUT
    return Builder(environment.settings, environment.state, environment.runtime.engine, tree)


def broken(sources: Path, builder: Builder, command: str) -> Build:
    """The image redis with one command more."""
    with (sources / "images/redis/Dockerfile").open("a") as file:
        file.write(f"\nUSER root\nRUN {command}\n")
    return next(each for each in builder.wanted(["redis"]) if each.name == "redis")


def test_an_unchanged_tree_builds_nothing(environment: Environment):
    assert action.steps(environment) == []
    assert set(action.images(environment)) == {"postgres", "pgbouncer", "redis", "api", "worker"}


def test_an_edit_of_the_code_is_a_new_image_in_prod_and_none_in_dev(sources: Path, builder: Builder):
    dev = builder.wanted(["api"])
    prod_settings = builder.settings.model_copy(update={"environment": "prod"})
    prod = Builder(prod_settings, builder.state, builder.engine, builder.tree)
    before = prod.wanted(["api"])
    (sources / "backend/app/main.py").write_text("# changed")
    assert builder.wanted(["api"]) == dev
    assert [each.name for each in prod.wanted(["api"]) if each not in before] == ["api"]


def test_no_cache_builds_what_is_there_as_well(environment: Environment):
    assert [step.what for step in action.steps(environment, ["redis"], no_cache=True)] == ["build the image redis"]


def test_an_unknown_image_is_refused(environment: Environment):
    with pytest.raises(ImageUnknown, match="no such image postgre"):
        action.steps(environment, ["postgre"])


def test_another_project_gets_the_same_images_by_its_own_names(stack: Stack, builder: Builder, tmp_path: Path):
    other = Stack(stack.engine, tmp_path)
    try:
        other.done("build", "dev")
        mine = next(each for each in builder.wanted(["postgres"]) if each.name == "postgres")
        theirs = stack.engine.image(mine.reference.replace(stack.project, other.project))
        found = stack.engine.image(mine.reference)
        assert found is not None
        assert theirs is not None
        assert theirs.id == found.id
        assert "All images are up to date." in other.done("build", "dev")
    finally:
        other.remove()
    assert stack.engine.image(mine.reference) is not None


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("broken by a test", "mend what it names"),
        ("Temporary failure resolving mirror.example", "HTTPS_PROXY"),
        ("SSL: CERTIFICATE_VERIFY_FAILED", "OPENTR_BUILD_CA_BUNDLE"),
    ],
)
def test_a_build_that_fails_is_told_with_its_end_and_its_log(sources: Path, builder: Builder, said: str, hint: str):
    build = broken(sources, builder, f"echo '{said}' && false")
    with pytest.raises(BuildFailed, match="the image redis could not be built") as caught:
        builder.build(build)
    assert any(said in line for line in caught.value.tail)
    assert hint in caught.value.hint
    assert str(caught.value.log) in caught.value.hint
    assert said in caught.value.log.read_text()
    assert builder.engine.image(build.reference) is None


def test_a_full_disk_is_told_as_one(sources: Path, builder: Builder):
    build = broken(sources, builder, "cat /dev/zero >/dev/full")
    with pytest.raises(DiskFull, match=r"no room left for the Docker engine in /\S+ \(\d+ MB free\)"):
        builder.build(build)


def test_an_interrupted_build_leaves_nothing(stack: Stack, sources: Path, builder: Builder):
    # A layer of its own: the engine may still have one like it, of a run that was killed and slept to its end.
    build = broken(sources, builder, f"echo sleeps && sleep 1000 # {secrets.token_hex(8)}")
    log = stack.state / "build-redis.log"
    log.unlink(missing_ok=True)
    command = [sys.executable, "-c", TOOL, str(sources)]
    with subprocess.Popen(command, env=stack.variables, stderr=subprocess.PIPE, text=True) as tool:
        while not (log.exists() and " sleeps" in log.read_text()):
            assert tool.poll() is None
        tool.send_signal(signal.SIGINT)
        _, complaints = tool.communicate()
    assert "KeyboardInterrupt" in complaints
    assert builder.engine.image(build.reference) is None
