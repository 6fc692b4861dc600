"""The journal of what changes an environment for good: deploys and restores, each step before it begins and after it.

    journal/<id>.jsonl       one operation; a line an event, on the disk before the step goes on

An operation that isn't closed was cut short: the next command that changes the environment finishes or reverts it. Only
the holder of the state's lock writes.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, BinaryIO

from opentr import ui
from opentr.errors import OpentrError
from opentr.errors.state import StateUnreadable
from opentr.state import guarded, sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from opentr.state import State

FOLDER = "journal"
BEGUN, STARTED, DONE, FAILED, CLOSED = "begun", "started", "done", "failed", "closed"
"""The kinds of events: of an operation the first and the last, of its steps the others."""
UNDOING, UNDONE = "undoing", "undone"
"""The kinds of events when an operation takes back what it has done: before, and when nothing of it is left."""


@dataclass(frozen=True)
class Event:
    """One line of the journal."""

    at: datetime
    kind: str
    step: str
    """the step's name; of the first and the last event: the operation's kind"""
    data: dict[str, Any]
    """facts that are needed to go on, or to tell what happened; no secrets"""


@dataclass
class Operation:
    """A deploy or a restore. Its events so far, oldest first."""

    file: Path
    events: list[Event] = field(default_factory=list)

    @property
    def id(self) -> str:
        """As one types it: the time of its begin, 20261122T221530Z."""
        return self.file.stem

    @property
    def kind(self) -> str:
        """What it is: deploy, restore."""
        return self.events[0].step

    @property
    def begun(self) -> Event:
        """Its first event: when, and with what."""
        return self.events[0]

    @property
    def closed(self) -> Event | None:
        """Its last event, once it has ended; None while it goes on, or where it was cut short."""
        return self.events[-1] if self.events[-1].kind == CLOSED else None

    def found(self, step: str, kind: str = DONE) -> Event | None:
        """The newest event of this step and kind; None if there is none."""
        return next((each for each in reversed(self.events) if (each.step, each.kind) == (step, kind)), None)

    def has(self, kind: str) -> bool:
        """Whether there is an event of this kind."""
        return any(each.kind == kind for each in self.events)

    @contextmanager
    def undoing(self) -> Iterator[None]:
        """Take back what was done inside of the block: written down before, and after it if it comes to its end."""
        self.write(UNDOING, self.kind, {})
        yield
        self.write(UNDONE, self.kind, {})

    @contextmanager
    def step(self, name: str, what: str, **data: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - JSON
        """Do a step inside of the block: told to the user, and written down before it begins and after it.

        The block fills the dictionary that it gets with what is to be known afterwards.
        """
        self.write(STARTED, name, data)
        result: dict[str, Any] = {}
        try:
            with ui.step(what):
                yield result
        except BaseException as error:
            try:
                self.write(FAILED, name, result | {"error": _words(error)})
            except OpentrError as unwritable:
                ui.note(f"the journal can't be written: {unwritable.what}")  # the error itself is what matters
            raise
        self.write(DONE, name, result)

    def close(self, outcome: str, **data: Any) -> None:  # noqa: ANN401 - JSON
        """Write down that it has ended, and how: done, reverted, failed."""
        self.write(CLOSED, self.kind, {"outcome": outcome, **data})

    def write(self, kind: str, step: str, data: dict[str, Any]) -> None:
        """Append an event; it is on the disk when this returns. Raises StateUnwritable."""
        event = Event(datetime.now(UTC), kind, step, data)
        fields = {"at": event.at.isoformat(timespec="milliseconds"), "kind": kind, "step": step, "data": data}
        with guarded(self.file), self.file.open("a+b") as out:
            _drop_unfinished_line(out)
            out.write(json.dumps(fields).encode() + b"\n")
            out.flush()
            os.fsync(out.fileno())
        self.events.append(event)


def begin(state: State, kind: str, **data: Any) -> Operation:  # noqa: ANN401 - JSON
    """Begin an operation; its first event is on the disk when this returns."""
    folder = state.folder / FOLDER
    with guarded(folder):
        folder.mkdir(mode=0o700, exist_ok=True)
    number, stamp = 0, f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    while (file := folder / f"{stamp}{f'-{number}' if number else ''}.jsonl").exists():
        number += 1
    operation = Operation(file)
    operation.write(BEGUN, kind, data)
    for place in (folder, state.folder):
        sync_folder(place)
    return operation


def operations(state: State) -> list[Operation]:
    """All operations, oldest first. Raises StateUnreadable for a file that isn't ours."""
    read = [_read(file) for file in (state.folder / FOLDER).glob("*.jsonl")]
    # of two in one millisecond the second has a longer name: see `begin`
    return sorted((each for each in read if each.events), key=lambda each: (each.begun.at, len(each.id), each.id))


def unfinished(state: State) -> Operation | None:
    """The operation that was cut short, or goes on now; None if all have ended."""
    return next((each for each in reversed(operations(state)) if not each.closed), None)


def _read(file: Path) -> Operation:
    """A last line without an end is of a write that is going on or was cut short: what it was about hasn't begun."""
    operation = Operation(file)
    for line in file.read_text(encoding="utf-8").rpartition("\n")[0].splitlines():
        try:
            found = json.loads(line)
            event = Event(datetime.fromisoformat(found["at"]), found["kind"], found["step"], found["data"])
        except (ValueError, KeyError, TypeError) as error:
            raise StateUnreadable(file, f"a line isn't of a journal: {error}") from error
        operation.events.append(event)
    return operation


def _drop_unfinished_line(out: BinaryIO) -> None:
    """What a write that was cut short has left behind the last whole line."""
    out.seek(0)
    out.truncate(out.read().rfind(b"\n") + 1)


def _words(error: BaseException) -> str:
    if isinstance(error, OpentrError):
        return error.what
    return "interrupted" if isinstance(error, KeyboardInterrupt) else f"{type(error).__name__}: {error}"
