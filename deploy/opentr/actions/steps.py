"""An action's steps: what --plan prints and running executes."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentr import ui
from opentr.errors import OpentrError, UndoFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager


@dataclass(frozen=True)
class Step:
    """One thing that an action does."""

    what: str
    """in the user's words: create the database from its template"""
    how: str
    """the command or the SQL, as one would type it, without secrets"""
    do: Callable[[], None]
    undo: Callable[[], None] | None = None
    """called, newest first, if a later step fails; None: nothing to take back"""
    halfway: bool = False
    """also undone if it fails itself, or is cut short: it may have been done in part"""


def run(
    steps: Sequence[Step],
    within: Callable[[str], AbstractContextManager[object]] = ui.step,
    undoing: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> None:
    """Run the steps in their order. If one fails, or Ctrl-C comes, those before it are undone and the error goes on.

    Each is run inside of what `within` makes of its words; by default it is told, an operation also writes it down. The
    undoing is inside of what `undoing` makes; if that block doesn't come to its end, not all is undone.

    Raises UndoFailed if one of them can't be undone; the others are, all the same.
    """
    done: list[Step] = []
    try:
        for step in steps:
            if step.halfway:
                done.append(step)
            with within(step.what):
                step.do()
            if not step.halfway:
                done.append(step)
    except BaseException as error:
        with undoing():
            _undo(done, error)
        raise


def _undo(done: Sequence[Step], cause: BaseException) -> None:
    left = []
    for step in reversed(done):
        if step.undo:
            try:
                with ui.step(f"undo: {step.what}"):
                    step.undo()
            except OpentrError as failure:
                left.append((step.what, failure.what))
    if left:
        raise UndoFailed(_words(cause), left) from cause


def _words(cause: BaseException) -> str:
    if isinstance(cause, OpentrError):
        return cause.what
    return "interrupted" if isinstance(cause, KeyboardInterrupt | SystemExit) else f"{type(cause).__name__}: {cause}"
