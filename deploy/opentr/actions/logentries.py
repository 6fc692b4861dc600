"""Entries of a log: a line with the lines that belong to it, however the services' lines are mixed."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from opentr.actions import logtext

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from opentr.runtimes.base import LogLine

LINGER = timedelta(seconds=0.5)
"""How long, by the log's own time, an entry waits for a further line. A service writes an entry's lines at once."""
MOST_LINES = 2000
MOST_CHARACTERS = 1 << 20
MOST_WAITING = 10_000
"""Entries that may wait for an older one to end: memory is bounded, also where a service never writes again."""


@dataclass
class Entry:
    """What a service wrote at one moment. `message` may have several lines."""

    service: str
    time: datetime
    level: str | None
    message: str
    fields: dict[str, Any] = field(default_factory=dict)
    late: bool = False
    """these lines belong to the entry of this service before, which had been given away already"""

    def text(self, marked: Callable[[str], str] = str) -> str:
        """The message, its fields as name=value, and below it the text of fields that have several lines.

        `marked` is how the fields are told from the message.
        """
        first, line_break, rest = self.message.partition("\n")
        long = [str(value) for value in self.fields.values() if _is_long(value)]
        short = " ".join(f"{name}={_word(value)}" for name, value in self.fields.items() if not _is_long(value))
        return "\n".join([first + (marked(f"  {short}") if short else "") + line_break + rest, *long])


def _is_long(value: object) -> bool:
    return isinstance(value, str) and "\n" in value


def _word(value: object) -> str:
    """As one would type it: quoted only where its end couldn't be seen otherwise."""
    if isinstance(value, str) and value and not any(sign in value for sign in ' "='):
        return value
    return json.dumps(value, ensure_ascii=False)


@dataclass
class _Open:
    """An entry that may get further lines."""

    entry: Entry
    seen: datetime
    then: str
    lines: list[str]
    characters: int = 0
    closed: bool = False

    def add(self, line: LogLine, more: logtext.More) -> None:
        self.seen, self.then = line.time, more.then
        self.lines.append(more.text)
        self.characters += len(more.text)

    def takes(self, line: LogLine) -> bool:
        """Whether a further line may be added."""
        full = len(self.lines) >= MOST_LINES or self.characters >= MOST_CHARACTERS
        return not (self.closed or full or line.time - self.seen > LINGER)

    def finished(self) -> Entry:
        self.entry.message = "\n".join(self.lines).rstrip("\n")
        return self.entry


class Assembler:
    """Lines go in, entries come out, in the order of their first lines."""

    def __init__(self) -> None:
        self._waiting: deque[_Open] = deque()
        self._newest: dict[str, _Open] = {}

    def feed(self, line: LogLine) -> Iterator[Entry]:
        """Take a line; gives the entries that are complete now."""
        before = self._newest.get(line.service)
        current = before if before and before.takes(line) else None
        parsed = logtext.parse(line.service, line.text, current.then if current else "")
        if isinstance(parsed, logtext.More) and current:
            current.add(line, parsed)
        elif isinstance(parsed, logtext.Head) or parsed.text.strip():
            self._begin(line, parsed, before)
        yield from self._complete(line.time)

    def flush(self) -> Iterator[Entry]:
        """Gives all that is there: nothing more comes for now."""
        while self._waiting:
            yield self._give()

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._waiting

    def _begin(self, line: LogLine, parsed: logtext.Parsed, before: _Open | None) -> None:
        if before:
            before.closed = True
        if isinstance(parsed, logtext.Head):
            entry = Entry(line.service, line.time, parsed.level, "", parsed.fields)
            opened = _Open(entry, line.time, parsed.then, [parsed.message])
        else:
            level = before.entry.level if before else None
            entry = Entry(line.service, line.time, level, "", late=before is not None)
            opened = _Open(entry, line.time, parsed.then, [parsed.text])
        opened.characters = len(line.text)
        self._newest[line.service] = opened
        self._waiting.append(opened)

    def _complete(self, now: datetime) -> Iterator[Entry]:
        while self._waiting:
            first = self._waiting[0]
            if not first.closed and now - first.seen <= LINGER and len(self._waiting) <= MOST_WAITING:
                return
            yield self._give()

    def _give(self) -> Entry:
        given = self._waiting.popleft()
        given.closed = True
        return given.finished()
