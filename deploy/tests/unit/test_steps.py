from __future__ import annotations

import pytest

from opentr.actions.steps import Step, run
from opentr.errors import ExitCode, NothingRunning, OpentrError, UndoFailed


class Record:
    """What was done and undone."""

    def __init__(self) -> None:
        self.done: list[str] = []

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
