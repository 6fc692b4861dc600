"""What becomes of a restore that fails or is cut short, by the clusters in the volume and by what was written down."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from opentr import credentials, journal, settings
from opentr.actions import addresses, backup, cluster, database, mediastanding, restore, restore_file, restoring
from opentr.actions.backup import Fault
from opentr.actions.cluster import Clusters, Kept
from opentr.actions.environment import Environment
from opentr.actions.restoring import EXCHANGE, Course, Exchange
from opentr.actions.stake import Replaced
from opentr.actions.standing import Standing
from opentr.actions.steps import Step
from opentr.errors import OpentrError, UndoFailed
from opentr.errors.backup import NoBackups
from opentr.errors.restore import (
    ClusterFailed,
    NothingReplaced,
    RestoreBlocked,
    RestoredUnserved,
    RestoreFailed,
    RestoreStuck,
)
from opentr.errors.services import NothingRunning, ServiceUnhealthy
from opentr.runtimes.base import ServiceState
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
    running: Sequence[str] = ()
    """the services that serve"""

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

    def services(self) -> list[ServiceState]:
        return [ServiceState(name, "running", "healthy") for name in self.running]

    def volumes(self) -> tuple[str, ...]:
        return ("postgres-data",)

    def drop_leftovers(self) -> None:
        pass

    def opened(self) -> None:
        self._ask("open")

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
    monkeypatch.setattr(restore_file, "open_app", lambda *_: runtime.opened())
    monkeypatch.setattr(mediastanding, "taken_back", lambda _: runtime.asked.append("media"))
    state.write(database.RECORD, {"made_at": "2026-11-22T12:00:00+00:00"})
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
    assert restore.run(prod, Replaced(Kept("old", 0, None), None)).what == "what the last restore replaced"
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
@pytest.mark.parametrize("cut", [KeyboardInterrupt(), SystemExit(143), ClusterFailed("room")])
def test_one_that_fails_leaves_what_an_earlier_one_replaced(
    prod: Environment, volume: Volume, failing: str, cut: BaseException
):
    volume.fails = {failing: cut}
    with pytest.raises(RestoreFailed if isinstance(cut, ClusterFailed) else type(cut)) as failed:
        tried(prod, "backup")
    assert (ended(prod.state), volume.live, volume.restored) == ("reverted", "old", "")
    if isinstance(failed.value, RestoreFailed):
        assert "room; what was there before is there again" in failed.value.what


@pytest.mark.parametrize("failing", ["put new", "up later"])
@pytest.mark.parametrize("cut", [KeyboardInterrupt(), ClusterFailed("no")])
def test_an_undo_that_fails_leaves_both_clusters(prod: Environment, volume: Volume, failing: str, cut: BaseException):
    volume.replaced = "new"
    volume.fails = {failing: cut}
    with pytest.raises(RestoreFailed if isinstance(cut, ClusterFailed) else type(cut)):
        tried(prod, "undo")
    assert (ended(prod.state), volume.live, volume.replaced) == ("reverted", "old", "new")


@pytest.mark.parametrize("cut", [KeyboardInterrupt(), SystemExit(143), ClusterFailed("no")])
def test_one_whose_undoing_is_cut_short_stays_open_and_is_taken_back_by_the_next_command(
    prod: Environment, volume: Volume, cut: BaseException
):
    volume.fails = {"up later": KeyboardInterrupt(), "put old": cut}
    with pytest.raises((KeyboardInterrupt, SystemExit, RestoreStuck)):
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


@pytest.mark.parametrize("swapped", [True, False])
def test_an_interrupted_swap_opens_what_is_live_then(
    prod: Environment, monkeypatch: pytest.MonkeyPatch, volume: Volume, *, swapped: bool
):
    monkeypatch.setattr(restore_file, "_swapped", lambda *_: swapped)
    course = restore_file.Course(standing=Standing("0008", pending=("0009",)))
    course.operation = journal.begin(prod.state, restore.KIND, way="file", file="x.sql", running=["api"])
    fence = Step("stop what writes: api", "", lambda: None, lambda: volume.up(["api"]), halfway=True)
    undo = restore_file._reopened(prod, fence, course).undo  # noqa: SLF001 - of the steps, without a dump
    assert undo
    undo()
    assert volume.asked == (["open"] if swapped else ["up api"])


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


def test_a_way_back_that_fails_too_says_both_and_what_to_type(prod: Environment, volume: Volume):
    volume.fails = {"up later": ClusterFailed("Postgres ended"), "put old": ClusterFailed("the disk is full")}
    with pytest.raises(RestoreStuck) as stuck:
        tried(prod, "backup")
    assert "Postgres ended; and taking it back failed: the disk is full" in stuck.value.what
    assert "is there again" not in stuck.value.what
    assert "./opentr.sh start prod" in stuck.value.hint
    assert stuck.value.exit_code == 5


def test_where_nothing_was_before_nothing_is_started_and_nobody_is_told_otherwise(prod: Environment, volume: Volume):
    volume.live, volume.running = "", ("proxy", "api")
    volume.fails = {"prepare latest": ClusterFailed("no backup")}
    with pytest.raises(RestoreFailed) as failed:
        tried(prod, "backup")
    assert "there was no data before, and there is none now" in failed.value.what
    assert ended(prod.state) == "reverted"
    assert not [each for each in volume.asked if each.startswith("up")]


def test_what_was_restored_where_nothing_was_stays_and_the_next_command_goes_on_with_it(
    prod: Environment, volume: Volume
):
    volume.live = ""
    volume.fails = {"up later": ClusterFailed("Postgres ended")}
    with pytest.raises(RestoreFailed) as failed:
        tried(prod, "backup")
    assert "what was restored stays in its place" in failed.value.what
    assert ended(prod.state) == "open"
    (operation,) = journal.operations(prod.state)
    restore.finish(prod, operation)
    assert (ended(prod.state), volume.live) == ("done", "new")


def test_one_that_was_killed_where_nothing_was_before_is_taken_back_without_a_start(prod: Environment, volume: Volume):
    volume.live = ""
    restore.finish(prod, begun(prod, "backup", None, undoing=False))
    assert ended(prod.state) == "reverted"
    assert not [each for each in volume.asked if each.startswith("up")]


def test_the_media_files_are_looked_at_before_the_app_starts_again(prod: Environment, volume: Volume):
    volume.running = ("proxy", "api", "pgbouncer", "postgres")
    volume.fails = {"up later": ClusterFailed("Postgres ended")}
    with pytest.raises(RestoreFailed):
        tried(prod, "backup")
    assert volume.asked[-3:] == ["up pgbouncer postgres", "media", "up proxy api"]


def test_what_did_not_serve_before_stands_in_no_way_back(prod: Environment, volume: Volume):
    volume.running = ("proxy",)
    volume.fails = {"prepare latest": ClusterFailed("damaged"), "up proxy": NothingRunning("p", "prod")}
    with pytest.raises(RestoreFailed):
        tried(prod, "backup")
    assert ended(prod.state) == "reverted"


def test_an_app_that_does_not_come_up_on_restored_data_is_no_failed_restore(prod: Environment, volume: Volume):
    volume.fails = {"open": ServiceUnhealthy("api", "ended with code 1", [], "prod")}
    with pytest.raises(RestoredUnserved) as unserved:
        tried(prod, "backup")
    assert (ended(prod.state), volume.live) == ("done", "new")
    assert "is restored, and the app doesn't come up on it: api ended with code 1" in unserved.value.what
    assert "./opentr.sh restore prod --undo" in unserved.value.hint


def test_a_restore_writes_down_again_that_there_is_a_database(prod: Environment):
    prod.state.remove(database.RECORD)
    tried(prod, "backup")
    assert (prod.state.read(database.RECORD) or {})["revision"] == "0010"


@pytest.mark.parametrize(
    ("fault", "hint"),
    [
        (Fault("room", ("/var/lib/postgresql: 9 GB are needed, and 1 GB are free",)), "./opentr.sh clean prod"),
        (Fault("the repository can't be read: [CryptoError] no", ()), "secrets/backup_passphrase back from your copy"),
        (Fault("the repository can't be read: other", ()), "./opentr.sh backup list prod"),
    ],
)
def test_what_would_fail_at_once_is_refused_while_all_serves(
    prod: Environment, volume: Volume, monkeypatch: pytest.MonkeyPatch, fault: Fault, hint: str
):
    monkeypatch.setattr(cluster, "unready", lambda *_: fault)
    with pytest.raises(RestoreBlocked) as blocked:
        restore._refuse_unready(prod, "latest")  # noqa: SLF001 - of `observe`, which asks the repository before
    assert hint in blocked.value.hint
    assert volume.asked == []


def test_the_programs_find_the_passphrase_before_they_are_asked(prod: Environment, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(backup, "catalogue", lambda _: [])
    with pytest.raises(NoBackups):
        restore.observe(prod, None)
    known = credentials.ensure(prod.state)
    assert (prod.state.folder / "secrets" / credentials.CIPHER).read_text() == credentials.cipher(known)


def test_an_undo_of_nothing_is_refused_while_all_serves(
    prod: Environment, volume: Volume, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cluster, "kept", lambda _: None)
    with pytest.raises(NothingReplaced):
        restore.observe_undo(prod)
    assert volume.asked == []
