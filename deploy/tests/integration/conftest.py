"""Runtimes on real engines, each with a project of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from opentr import settings, state
from opentr.actions import build
from opentr.actions.environment import Environment, prepare
from opentr.runtimes.choose import choose
from tests.stacks import Stack, mark, reachable_engine

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentr.containers import Engine


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    mark(items, Path(__file__).parent)


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The engine; without one the test is skipped, or fails in CI."""
    return reachable_engine()


@pytest.fixture(scope="module")
def stack(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A project of this module."""
    made = Stack(engine, tmp_path_factory.mktemp("state"))
    yield made
    made.remove()


@pytest.fixture(scope="module")
def environment(stack: Stack) -> Environment:
    """dev in containers; see `prepared`."""
    return prepared(stack.ours, "compose")


def prepared(variables: Mapping[str, str], runtime: str) -> Environment:
    """dev on this runtime, with images or packages, secrets and configuration in place; nothing runs yet."""
    chosen = settings.read("dev", variables)
    place = state.opened(chosen)
    made = Environment(chosen, place, choose(chosen, place, runtime))
    prepare(made, build.images(made))
    return made
