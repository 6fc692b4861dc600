from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from opentr.actions.steps import Step, run
from opentr.errors import ExitCode, OpentrError, UndoFailed
from opentr.errors.services import NothingRunning

if TYPE_CHECKING:
    from collections.abc import Iterator


class Record:
    """What was done and undone."""

    def __init__(self) -> None:
        self.done: list[str] = []

    @contextmanager
    def undoing(self) -> Iterator[None]:
        self.done.append("undoing")
        yield
        self.done.append("undone")

    def step(self, name: str, *, undo: BaseException | bool = True, fails: BaseException | None = None) -> Step:
        def do() -> None:
            if fails:
                raise fails
            self.done.append(name)

        def take_back() -> None:
            if isinstance(undo, BaseException):
                raise undo
            self.done.append(f"undo {name}")

        return Step(name, "", do, take_back if undo else None)


def test_steps_run_in_their_order():
    record = Record()
    run([record.step("a"), record.step("b")])
    assert record.done == ["a", "b"]


@pytest.mark.parametrize("error", [NothingRunning("p", "dev"), KeyboardInterrupt(), SystemExit(143)])
def test_what_was_done_is_undone_the_newest_first_and_the_error_goes_on(error: BaseException):
    record = Record()
    with pytest.raises(type(error)) as caught:
        run([record.step("a"), record.step("b", undo=False), record.step("c"), record.step("d", fails=error)])
    assert caught.value is error
    assert record.done == ["a", "b", "c", "undo c", "undo a"]


def test_an_undo_that_fails_is_told_with_its_cause_and_the_others_are_undone_all_the_same():
    record = Record()
    stuck = OpentrError("the disk is full", "make room")
    with pytest.raises(UndoFailed) as caught:
        run([record.step("a"), record.step("b", undo=stuck), record.step("c", fails=NothingRunning("p", "dev"))])
    assert caught.value.what == "nothing of p is running; and this could not be undone: b (the disk is full)"
    assert caught.value.exit_code == ExitCode.OPERATOR
    assert record.done == ["a", "b", "undo a"]


def test_what_undoing_makes_is_around_all_of_it():
    record = Record()
    with pytest.raises(NothingRunning):
        run([record.step("a"), record.step("b", fails=NothingRunning("p", "dev"))], undoing=record.undoing)
    assert record.done == ["a", "undoing", "undo a", "undone"]


@pytest.mark.parametrize("cut", [KeyboardInterrupt(), SystemExit(143), OpentrError("stuck", "look")])
def test_an_undo_that_is_cut_short_or_fails_doesnt_come_to_its_end(cut: BaseException):
    record = Record()
    steps = [record.step("a"), record.step("b", undo=cut), record.step("c", fails=KeyboardInterrupt())]
    with pytest.raises((KeyboardInterrupt, SystemExit, UndoFailed)):
        run(steps, undoing=record.undoing)
    assert "undoing" in record.done
    assert "undone" not in record.done


def test_a_step_that_may_have_been_done_in_part_is_undone_itself():
    record = Record()
    halfway = replace(record.step("b", fails=KeyboardInterrupt()), halfway=True)
    with pytest.raises(KeyboardInterrupt):
        run([record.step("a"), halfway])
    assert record.done == ["a", "undo b", "undo a"]
