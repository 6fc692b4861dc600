from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from opentr import journal
from opentr.errors.services import NothingRunning
from opentr.errors.state import StateUnreadable, StateUnwritable
from opentr.state import State

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(tmp_path, "id", "key", "opentr-test", "prod")


def test_what_is_written_is_read_again(state: State):
    operation = journal.begin(state, "deploy", to="0.2.0")
    with operation.step("backup", "take a backup", kind="incr") as result:
        result["label"] = "20261122-221530F"
    operation.close("done", revision="0010")
    (read,) = journal.operations(state)
    assert (read.id, read.kind, read.begun.data) == (operation.id, "deploy", {"to": "0.2.0"})
    assert [(each.kind, each.step) for each in read.events] == [
        ("begun", "deploy"),
        ("started", "backup"),
        ("done", "backup"),
        ("closed", "deploy"),
    ]
    found = read.found("backup")
    assert found
    assert found.data == {"label": "20261122-221530F"}
    assert read.closed
    assert read.closed.data == {"outcome": "done", "revision": "0010"}
    assert journal.unfinished(state) is None


def test_a_step_that_fails_is_written_down_with_its_words(state: State):
    operation = journal.begin(state, "deploy")

    def migrate() -> None:
        with operation.step("migrate", "migrate") as result:
            result["reached"] = "0011"
            raise NothingRunning("opentr-test", "prod")

    with pytest.raises(NothingRunning):
        migrate()
    (read,) = journal.operations(state)
    failed = read.found("migrate", journal.FAILED)
    assert failed
    assert failed.data == {"reached": "0011", "error": "nothing of opentr-test is running"}
    assert journal.unfinished(state)


def test_a_disk_that_is_full_doesnt_hide_what_went_wrong(state: State, monkeypatch: pytest.MonkeyPatch):
    operation = journal.begin(state, "deploy")

    def migrate() -> None:
        with operation.step("migrate", "migrate"):
            monkeypatch.setattr("os.fsync", full)
            raise NothingRunning("opentr-test", "prod")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(NothingRunning):
        migrate()
    with pytest.raises(StateUnwritable, match="No space left"):
        operation.close("reverted")


def test_a_line_that_was_cut_short_counts_for_nothing_and_is_gone_with_the_next(state: State):
    operation = journal.begin(state, "deploy")
    whole = operation.file.read_bytes()
    operation.file.write_bytes(whole + b'{"at": "2026-11-2')
    (read,) = journal.operations(state)
    assert [each.kind for each in read.events] == ["begun"]
    assert operation.file.read_bytes() != whole  # a reader changes nothing: somebody may be writing
    read.close("reverted")
    assert operation.file.read_bytes().startswith(whole)
    assert len(operation.file.read_text().splitlines()) == 2


def test_a_begin_that_was_cut_short_is_no_operation(state: State):
    operation = journal.begin(state, "deploy")
    operation.file.write_bytes(b'{"at"')
    assert journal.operations(state) == []


def test_two_in_one_second_have_names_of_their_own_and_their_order(state: State):
    made = [journal.begin(state, "deploy", number=number) for number in range(3)]
    for each in made:
        each.close("done")
    assert [each.begun.data["number"] for each in journal.operations(state)] == [0, 1, 2]
    assert len({each.id for each in made}) == 3


def test_what_isnt_a_journal_is_refused_with_its_file(state: State):
    operation = journal.begin(state, "deploy")
    operation.file.write_text("{}\n")
    with pytest.raises(StateUnreadable, match=operation.file.name):
        journal.operations(state)
