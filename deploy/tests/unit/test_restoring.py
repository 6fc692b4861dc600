"""What becomes of a restore that fails or is cut short, by the clusters in the volume and by what was written down."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from opentr import journal, settings
from opentr.actions import addresses, cluster, restore, restore_file, restoring
from opentr.actions.cluster import Clusters
from opentr.actions.environment import Environment
from opentr.actions.restoring import EXCHANGE, Course, Exchange
from opentr.actions.standing import Standing
from opentr.actions.steps import Step
from opentr.errors import NothingRunning, OpentrError, UndoFailed
from opentr.errors.restore import NothingReplaced, RestoreFailed
from tests.unit.releasing import opened

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from opentr.journal import Operation
    from opentr.state import State


@dataclass
class Volume:
    """Stands for the volume and its containers: the clusters by their ids, and what was asked for."""

    live: str = "old"
    restored: str = ""
    replaced: str = ""
    asked: list[str] = field(default_factory=list)
    fails: dict[str, BaseException] = field(default_factory=dict)

    def clusters(self) -> Clusters:
        return Clusters(self.live, self.restored, self.replaced)

    def look(self, _: object) -> Clusters:
        self._ask("look")
        return self.clusters()

    def ids(self, _: object) -> Clusters:
        return self.clusters()

    def prepare(self, _: object, wanted: str) -> dict[str, Any]:
        self._ask(f"prepare {wanted}")
        self.restored = "new"
        return {"id": "new"}

    def put(self, _: object, wanted: str) -> Clusters:
        if wanted == self.restored:
            self.restored = ""
        assert wanted
        self.live, self.replaced = wanted, self.live
        self._ask(f"put {wanted}")
        return self.clusters()

    def drop(self, _: object, wanted: str = "") -> Clusters:
        self._ask(f"drop {wanted}".strip())
        if self.live:
            self.restored = ""
            self.replaced = "" if self.replaced == wanted else self.replaced
        return self.clusters()

    def tidy(self, _: object) -> None:
        self._ask("tidy")

    def stop(self, _: Sequence[str]) -> None:
        self._ask("stop")

    def up(self, services: Sequence[str]) -> None:
        self._ask(f"up {' '.join(services)}")

    def services(self) -> list[Any]:
        return []

    def drop_leftovers(self) -> None:
        pass

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if error := self.fails.pop(what, None):
            raise error


@pytest.fixture
def volume(monkeypatch: pytest.MonkeyPatch) -> Volume:
    made = Volume()
    for name in ("look", "ids", "prepare", "put", "drop", "tidy"):
        monkeypatch.setattr(cluster, name, getattr(made, name))
    return made


@pytest.fixture
def prod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, volume: Volume) -> Environment:
    """Of which nothing runs; what follows a swap is one step, `later`."""
    state = opened(tmp_path, monkeypatch).state
    runtime: Any = volume

    def later(environment: Environment, course: Course) -> list[Step]:
        course.standing = Standing("0010")
        return [Step("later", "", lambda: environment.runtime.up(["later"]))]

    monkeypatch.setattr(restoring, "later", later)
    monkeypatch.setattr(restore_file, "open_app", lambda *_: None)
    monkeypatch.setattr(restore_file, "meant", lambda _: [])
    monkeypatch.setattr(addresses, "lines", lambda _: [])
    monkeypatch.setattr(restore, "_finished", {})
    return Environment(settings.read("prod"), state, runtime)


def begun(environment: Environment, way: str, exchange: Exchange | None, *, undoing: bool) -> Operation:
    """One that was killed when it had come there."""
    operation = journal.begin(environment.state, restore.KIND, way=way, what="backup x", running=["api"])
    if exchange:
        operation.write(journal.STARTED, EXCHANGE, asdict(exchange))
    if undoing:
        operation.write(journal.UNDOING, restore.KIND, {})
    return operation


def ended(state: State) -> str:
    (operation,) = journal.operations(state)
    return operation.closed.data["outcome"] if operation.closed else "open"


SITUATIONS = [
    # way, before, what is live now, undoing begun -> how it ends, what is live then, what is beside it
    ("backup", None, "old", False, "reverted", "old", ""),
    ("backup", None, "old", True, "reverted", "old", ""),
    ("backup", "old", "old", False, "reverted", "old", ""),
    ("backup", "old", "new", False, "done", "new", "old"),
    ("backup", "old", "new", True, "reverted", "old", ""),
    ("backup", "old", "old", True, "reverted", "old", ""),
    ("backup", "", "new", False, "done", "new", ""),
    ("backup", "", "new", True, "done", "new", ""),
    ("undo", None, "old", False, "reverted", "old", "new"),
    ("undo", "old", "old", False, "reverted", "old", "new"),
    ("undo", "old", "new", False, "done", "new", "old"),
    ("undo", "old", "new", True, "reverted", "old", "new"),
    ("undo", "old", "old", True, "reverted", "old", "new"),
]


@pytest.mark.parametrize(("way", "before", "live", "undoing", "outcome", "then", "beside"), SITUATIONS)
def test_one_that_was_cut_short_is_judged_by_what_is_live(  # noqa: PLR0913 - a table
    prod: Environment,
    volume: Volume,
    *,
    way: str,
    before: str | None,
    live: str,
    undoing: bool,
    outcome: str,
    then: str,
    beside: str,
):
    volume.live = live
    if live == "old":
        volume.restored, volume.replaced = ("new", "") if way == "backup" else ("", "new")
    elif before:
        volume.replaced = "old"
    exchange = None if before is None else Exchange(before, "new")
    restore.finish(prod, begun(prod, way, exchange, undoing=undoing))
    assert (ended(prod.state), volume.live, volume.restored, volume.replaced) == (outcome, then, "", beside)
    assert (f"up {'later' if outcome == 'done' else 'api'}") in volume.asked


def test_the_same_command_once_more_does_nothing_else_than_finish_it(prod: Environment, volume: Volume):
    volume.live, volume.replaced = "new", "old"
    operation = journal.begin(prod.state, restore.KIND, way="undo", what="what the last restore replaced", running=[])
    operation.write(journal.STARTED, EXCHANGE, asdict(Exchange("old", "new")))
    restore.finish(prod, operation)
    assert restore.undo(prod).what == "what the last restore replaced"
    assert (volume.live, volume.replaced) == ("new", "old")


def test_what_cannot_be_finished_is_taken_back_and_that_is_written_down_first(prod: Environment, volume: Volume):
    volume.live, volume.replaced = "new", "old"
    volume.fails = {"up later": NothingRunning("p", "prod"), "look": KeyboardInterrupt()}
    operation = begun(prod, "backup", Exchange("old", "new"), undoing=False)
    with pytest.raises(KeyboardInterrupt):
        restore.finish(prod, operation)
    assert ended(prod.state) == "open"
    restore.finish(prod, operation)
    assert (ended(prod.state), volume.live, volume.replaced) == ("reverted", "old", "")


def tried(environment: Environment, way: str) -> None:
    """As `run` and `undo` do it."""
    course = Course()
    steps = (
        restoring.steps(environment, "latest", "all", course)
        if way == "backup"
        else restoring.undo_steps(environment, course)
    )
    restore._run(environment, steps, {"way": way, "what": "x"}, course)  # noqa: SLF001 - what both have in common


@pytest.mark.parametrize("failing", ["prepare latest", "put new", "up later"])
@pytest.mark.parametrize("cut", [KeyboardInterrupt(), SystemExit(143), RestoreFailed("room")])
def test_one_that_fails_leaves_what_an_earlier_one_replaced(
    prod: Environment, volume: Volume, failing: str, cut: BaseException
):
    volume.fails = {failing: cut}
    with pytest.raises(type(cut)):
        tried(prod, "backup")
    assert (ended(prod.state), volume.live, volume.restored) == ("reverted", "old", "")


@pytest.mark.parametrize("failing", ["put new", "up later"])
@pytest.mark.parametrize("cut", [KeyboardInterrupt(), RestoreFailed("no")])
def test_an_undo_that_fails_leaves_both_clusters(prod: Environment, volume: Volume, failing: str, cut: BaseException):
    volume.replaced = "new"
    volume.fails = {failing: cut}
    with pytest.raises(type(cut)):
        tried(prod, "undo")
    assert (ended(prod.state), volume.live, volume.replaced) == ("reverted", "old", "new")


@pytest.mark.parametrize("cut", [KeyboardInterrupt(), SystemExit(143), RestoreFailed("no")])
def test_one_whose_undoing_is_cut_short_stays_open_and_is_taken_back_by_the_next_command(
    prod: Environment, volume: Volume, cut: BaseException
):
    volume.fails = {"up later": KeyboardInterrupt(), "put old": cut}
    with pytest.raises((KeyboardInterrupt, SystemExit, UndoFailed)):
        tried(prod, "backup")
    assert ended(prod.state) == "open"
    (operation,) = journal.operations(prod.state)
    restore.finish(prod, operation)
    assert (ended(prod.state), volume.live, volume.replaced) == ("reverted", "old", "")


def test_without_something_replaced_there_is_nothing_to_undo(prod: Environment, volume: Volume):
    with pytest.raises(NothingReplaced):
        tried(prod, "undo")
    assert volume.live == "old"


def test_what_was_begun_of_a_dump_is_open_until_its_undoing_has_ended(
    prod: Environment, monkeypatch: pytest.MonkeyPatch
):
    def stuck() -> None:
        raise OpentrError("stuck", "look")

    def cut() -> None:
        raise KeyboardInterrupt

    steps = [Step("load", "", lambda: None, stuck), Step("swap", "", cut)]
    monkeypatch.setattr(restore_file, "steps", lambda *_: steps)
    dump: Any = type("Dump", (), {"path": "x.sql"})
    with pytest.raises(UndoFailed):
        restore_file.run(prod, dump)
    assert ended(prod.state) == "open"


@pytest.mark.parametrize(("oid", "outcome"), [("1", "reverted"), ("2", "done")])
def test_a_dump_whose_swap_was_finished_by_its_undoing_is_done(
    prod: Environment, monkeypatch: pytest.MonkeyPatch, oid: str, outcome: str
):
    def swap() -> None:
        (operation,) = journal.operations(prod.state)
        operation.write(journal.STARTED, restore_file._REPLACING, {"oid": "1"})  # noqa: SLF001 - its own word
        course.operation.write(journal.STARTED, restore_file._REPLACING, {"oid": "1"})  # noqa: SLF001 - as above
        raise KeyboardInterrupt

    course: Any = None

    def steps(_: object, __: object, given: Any) -> list[Step]:  # noqa: ANN401 - its course
        nonlocal course
        course = given
        return [Step("swap", "", swap)]

    monkeypatch.setattr(restore_file, "steps", steps)
    monkeypatch.setattr(restore_file, "_live_oid", lambda _: oid)
    dump: Any = type("Dump", (), {"path": "x.sql"})
    with pytest.raises(KeyboardInterrupt):
        restore_file.run(prod, dump)
    assert ended(prod.state) == outcome
