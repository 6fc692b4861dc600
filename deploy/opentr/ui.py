"""What a person sees of work that goes on: notes, and steps with their progress. Silent until a sink is set.

Nothing here knows a terminal: `opentr.cli.terminal` sets the sink, tests set their own. Results are never told here;
they are returned, and the cli prints them.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager


class Progress(Protocol):
    """How far a step has come."""

    def show(self, text: str, part: float | None = None) -> None:
        """Replace what was shown of the step before: real figures, as in `412 of 980 MB`.

        `part`, from 0 to 1, is how much of it that is, where that is known: a terminal draws a bar.
        """


class Sink(Protocol):
    """Where notes and steps go."""

    def note(self, text: str) -> None:
        """Tell one line."""

    def step(self, what: str) -> AbstractContextManager[Progress]:
        """Tell that a step begins and, when the block is left, how it ended and how long it took."""


class Silent:
    """Tells nobody."""

    def note(self, text: str) -> None:
        """Tell nobody."""

    @contextmanager
    def step(self, what: str) -> Iterator[Progress]:  # noqa: ARG002 - the shape of a sink
        """Tell nobody."""
        yield self

    def show(self, text: str, part: float | None = None) -> None:
        """Tell nobody."""


_sink: Sink = Silent()
_innermost: ContextVar[Progress | None] = ContextVar("innermost", default=None)


def use(sink: Sink) -> None:
    """Tell everything to this sink from now on."""
    global _sink  # noqa: PLW0603 - one program, one place to tell things to
    _sink = sink


def note(text: str) -> None:
    """Tell one line beside the result."""
    _sink.note(text)


def show(text: str, part: float | None = None) -> None:
    """Show how far the innermost step of this thread has come; nothing where none is open."""
    if progress := _innermost.get():
        progress.show(text, part)


@contextmanager
def step(what: str) -> Iterator[Progress]:
    """Tell that a step begins; leaving the block tells how it ended and how long it took.

    `what` is in the user's words, as an order: create the database from its template.
    """
    with _sink.step(what) as progress:
        before = _innermost.set(progress)
        try:
            yield progress
        finally:
            _innermost.reset(before)
