"""What `clean prod` may remove of what restores have put aside: nothing that may be the only good copy."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from opentr import journal, settings
from opentr.actions import aside, cluster
from opentr.actions.backup import Fault
from opentr.actions.cluster import Clusters, Kept
from opentr.actions.environment import Environment
from opentr.errors.restore import AsideUnjudged, ClusterFailed
from opentr.runtimes.base import ServiceState
from opentr.server import backups, media
from opentr.server.backups import Backup, Receipt
from opentr.server.media import Aside
from tests.unit.releasing import opened

if TYPE_CHECKING:
    from pathlib import Path

HOUR = timedelta(hours=1)


class Runtime:
    """Prod's, with its volumes, on which Postgres serves."""

    healthy = True
    found: tuple[str, ...] = ("backups", "postgres-data")

    def services(self) -> list[ServiceState]:
        return [ServiceState("postgres", "running", "healthy" if self.healthy else "starting")]

    def volumes(self) -> tuple[str, ...]:
        return self.found


@pytest.fixture
def restored_at() -> datetime:
    """When the restore ended that put the cluster aside."""
    return datetime.now(UTC)


@pytest.fixture
def prod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restored_at: datetime) -> Environment:  # noqa: ARG001 - before
    """With a replaced cluster of 9 MB and no backup at all, after a restore."""
    state = opened(tmp_path, monkeypatch).state
    operation = journal.begin(state, "restore", way="backup", what="backup x", running=[])
    operation.close("done")
    knows(monkeypatch)
    monkeypatch.setattr(cluster, "kept", lambda _: Kept("old", 9_000_000, None))
    monkeypatch.setattr(media, "aside", lambda _: [])
    runtime: Any = Runtime()
    return Environment(settings.read("prod"), state, runtime)


def knows(monkeypatch: pytest.MonkeyPatch, *found: Backup) -> None:
    monkeypatch.setattr(backups, "catalogue", lambda _: list(found))


def backup(started: datetime, *, ok: bool | None) -> Backup:
    receipt = None if ok is None else Receipt("x", ok=ok, proven_at=started + HOUR)
    return Backup("x", "full", started, started + HOUR, 1, 1, error=False, restore_point="p", receipt=receipt)


@pytest.mark.parametrize(
    ("after", "ok", "goes"),
    [(HOUR, True, True), (HOUR, False, False), (HOUR, None, False), (-2 * HOUR, True, False)],
    ids=["proven since", "its proof failed", "not proven", "proven before the restore"],
)
def test_the_replaced_cluster_goes_only_once_a_later_backup_is_proven(  # noqa: PLR0913 - a table
    prod: Environment,
    monkeypatch: pytest.MonkeyPatch,
    restored_at: datetime,
    after: timedelta,
    *,
    ok: bool | None,
    goes: bool,
):
    knows(monkeypatch, backup(restored_at + after, ok=ok))
    (found,) = aside.found(prod)
    assert "9 MB" in found.step.what
    assert bool(aside.chosen([found], anyway=False, answered=True)) == goes
    assert goes or "./opentr.sh backup verify newest" in found.needed
    assert aside.chosen([found], anyway=True, answered=True) == [found.step]
    assert aside.chosen([found], anyway=False, answered=False) == []


def test_it_stays_where_postgres_does_not_serve(
    prod: Environment, monkeypatch: pytest.MonkeyPatch, restored_at: datetime
):
    knows(monkeypatch, backup(restored_at + HOUR, ok=True))
    monkeypatch.setattr(Runtime, "healthy", False)
    (found,) = aside.found(prod)
    assert "only good copy" in found.needed


def test_it_stays_where_the_journal_of_its_restore_is_lost(
    prod: Environment, monkeypatch: pytest.MonkeyPatch, restored_at: datetime
):
    knows(monkeypatch, backup(restored_at + HOUR, ok=True))
    monkeypatch.setattr(journal, "operations", lambda _: [])
    (found,) = aside.found(prod)
    assert "nobody knows" in found.needed
    assert "backup verify" not in found.needed, "which wouldn't help"


def test_another_cluster_than_the_one_that_was_looked_at_stays(prod: Environment, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cluster, "free", lambda *_: Clusters("live", "", "another"))
    (found,) = aside.found(prod)
    with pytest.raises(AsideUnjudged):
        found.step.do()


def test_an_earlier_releases_images_which_cannot_remove_it_are_named(
    prod: Environment, monkeypatch: pytest.MonkeyPatch
):
    usage = Fault("restore_cluster prepare LABEL|latest, put ID, drop [ID], look, ids or tidy", ())
    monkeypatch.setattr(cluster, "followed", lambda *_: usage)
    (found,) = aside.found(prod)
    with pytest.raises(ClusterFailed, match=r"deploy prod"):
        found.step.do()


@pytest.mark.parametrize(
    ("before", "goes"), [(True, False), (False, True)], ids=["an older backup", "newer ones alone"]
)
def test_media_go_once_no_backup_can_name_them(
    prod: Environment, monkeypatch: pytest.MonkeyPatch, restored_at: datetime, *, before: bool, goes: bool
):
    monkeypatch.setattr(cluster, "kept", lambda _: None)
    monkeypatch.setattr(media, "aside", lambda _: [Aside("aaaa", 3, 12_000_000, restored_at)])
    knows(monkeypatch, backup(restored_at - HOUR if before else restored_at + HOUR, ok=True))
    (found,) = aside.found(prod)
    assert "3 files, 12 MB" in found.step.what
    assert (not found.needed) == goes


def test_media_stay_with_the_cluster_that_may_name_them(
    prod: Environment, monkeypatch: pytest.MonkeyPatch, restored_at: datetime
):
    monkeypatch.setattr(media, "aside", lambda _: [Aside("aaaa", 3, 12_000_000, restored_at)])
    _, found = aside.found(prod)
    assert "may name its files" in found.needed


@pytest.mark.parametrize(
    ("name", "volumes", "reason"),
    [
        ("unnamed.", ("backups", "postgres-data"), "nobody knows"),
        ("aaaa", ("postgres-data",), "the volume of the backups is gone"),
    ],
)
def test_media_stay_where_nobody_knows_what_names_them(  # noqa: PLR0913, PLR0917 - a table
    prod: Environment,
    monkeypatch: pytest.MonkeyPatch,
    restored_at: datetime,
    name: str,
    volumes: tuple[str, ...],
    reason: str,
):
    monkeypatch.setattr(Runtime, "found", volumes)
    monkeypatch.setattr(cluster, "kept", lambda _: None)
    monkeypatch.setattr(media, "aside", lambda _: [Aside(name, 3, 12_000_000, restored_at)])
    knows(monkeypatch, backup(restored_at + HOUR, ok=True))
    (found,) = aside.found(prod)
    assert reason in found.needed
    assert aside.chosen([found], anyway=False, answered=True) == []
