"""What `clean`, `remove`, `purge` and `reset --hard` make of what a runtime has, whichever it is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from opentr.actions import remove
from opentr.actions import steps as running
from opentr.actions.environment import keep_runtime
from opentr.runtimes.base import Thing, Things
from tests.unit.environments import as_processes

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from opentr.actions.environment import Environment
    from opentr.runtimes.base import ServiceState


@dataclass
class Having:
    """A runtime that has one of each kind, and remembers what it was asked and what went."""

    gone: list[str] = field(default_factory=list)
    kept: Collection[str] = ()
    sizes: bool | None = None
    name: str = "embedded"

    def things(self, *, kept: Collection[str] = (), sizes: bool = True) -> Things:
        self.kept, self.sizes = kept, sizes
        return Things(*((self._thing(name),) for name in ("service", "data", "build", "leftover", "unused")))

    def services(self) -> list[ServiceState]:
        return []

    def _thing(self, name: str) -> Thing:
        return Thing(f"{name} (1 kB)", f"remove the {name}", f"rm {name}", lambda: self.gone.append(name))


@pytest.fixture
def having() -> Having:
    return Having()


@pytest.fixture
def dev(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, having: Having) -> Environment:
    faked: Any = having
    return replace(as_processes(tmp_path, monkeypatch), runtime=faked)


def test_remove_leaves_the_data(dev: Environment, having: Having):
    running.run(remove.remove_steps(dev))
    assert having.gone == ["service"]
    assert having.sizes is False


def test_data_goes_after_what_uses_it_and_nobody_misses_it(dev: Environment, having: Having):
    for record in ("database", "swap"):
        dev.state.write(record, {})
    keep_runtime(dev)
    assert dev.state.read("runtime") == {"name": "embedded"}
    running.run(remove.data_steps(dev))
    assert having.gone == ["service", "data"]
    assert [dev.state.read(record) for record in ("database", "swap", "runtime")] == [None, None, None]
    assert remove.data_words(dev) == ["data (1 kB)"]


def test_purge_takes_all_and_the_state_last(dev: Environment, having: Having):
    planned = remove.purge_steps(dev)
    assert [step.what for step in planned[:-1]] == ["remove the service", "remove the data", "remove the build"]
    assert planned[-1].what.startswith("remove the state: secrets, configuration, logs; there are no dumps in it (")
    running.run(planned)
    assert having.gone == ["service", "data", "build"]
    assert not dev.state.folder.exists()


def test_clean_takes_leftovers_and_builds_that_nothing_needs(dev: Environment, having: Having):
    dev.state.write("prepared", {"images": {"api": "opentr-test/api:1"}})
    (dev.state.folder / "build-api.log").write_text("all well")
    planned = remove.clean_steps(dev)
    assert [step.how for step in planned[:-1]] == ["rm leftover", "rm unused"]
    assert planned[-1].what == "remove 1 logs of builds (8 B)"
    running.run(planned)
    assert having.gone == ["leftover", "unused"]
    assert list(having.kept) == ["opentr-test/api:1"]
    assert not (dev.state.folder / "build-api.log").exists()
