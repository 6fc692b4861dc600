"""Whole stacks, in containers or as local processes, driven as their users do: by `./opentr.sh`."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.embedded import projects
from tests.stacks import Stack, mark, reachable_engine

if TYPE_CHECKING:
    from opentr.containers import Engine
    from tests.embedded import MakeProcesses

MakeStack = Callable[..., Stack]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark(items, Path(__file__).parent)


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The engine; without one the test is skipped, or fails in CI."""
    return reachable_engine()


@pytest.fixture(scope="session")
def base_image(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """All images of dev, kept until the last test has ended: other projects only give them further names.

    Of several processes one builds first.
    """
    stack = Stack(engine, tmp_path_factory.mktemp("images"))
    with (tmp_path_factory.getbasetemp().parent / "images.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stack.done("build", "dev")
    yield
    stack.remove()


@pytest.fixture(scope="module")
def stacks(engine: Engine, base_image: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeStack]:  # noqa: ARG001
    """Makes stacks on which nothing runs yet: `stacks(POSTGRES_MAX_CONNECTIONS="50")`; they go with the module."""
    with ExitStack() as made:

        def make(*, checkout: Path | None = None, project: str | None = None, **settings: str) -> Stack:
            given = {f"OPENTR_{name}": value for name, value in settings.items()}
            stack = Stack(engine, tmp_path_factory.mktemp("state"), settings=given)
            stack.checkout = checkout or stack.checkout
            stack.project = project or stack.project
            made.callback(stack.remove)
            return stack

        yield make


@pytest.fixture
def stack(stacks: MakeStack) -> Iterator[Stack]:
    """A stack of this test alone; nothing runs yet."""
    made = stacks()
    yield made
    made.remove()


@pytest.fixture(scope="module")
def dev(stacks: MakeStack) -> Stack:
    """A dev stack of this module, made by `reset dev`: everything is healthy, its tests leave it so."""
    made = stacks()
    made.done("reset", "dev")
    return made


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeProcesses]:
    """Makes projects of local processes, on which nothing runs yet; they go with the module."""
    with projects(lambda: tmp_path_factory.mktemp("state")) as made:
        yield made
