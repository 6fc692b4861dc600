"""How an entry of a log looks: as text for people, or as a JSON object for programs."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from opentr.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from opentr.actions.logentries import Entry

_COLOURS = {
    "postgres": "blue",
    "pgbouncer": "cyan",
    "redis": "magenta",
    "api": "green",
    "worker": "bright_cyan",
    "proxy": "bright_magenta",
    "migrate": "bright_blue",
}
"""By service; red and yellow are the levels'."""
_LEVELS: dict[str, dict[str, Any]] = {
    "debug": {"dim": True},
    "info": {},
    "warning": {"fg": "yellow"},
    "error": {"fg": "red"},
    "critical": {"fg": "bright_white", "bg": "red", "bold": True},
}
_SERVICE_WIDTH = max(map(len, _COLOURS))
_LEVEL_WIDTH = max(map(len, _LEVELS))
_INDENT = " " * 4
LONGEST = 4000
"""Characters of a line on a terminal."""
_OURS = ("time", "service", "level", "message")


class Text:
    """Lines for people: the time of this machine's zone, the service, the level, what was said.

    On a terminal the time is short, and a line says when another day begins; elsewhere it is complete.
    """

    def __init__(self, *, terminal: bool, colour: bool, today: date) -> None:
        self._terminal = terminal
        self._colour = colour
        self._day = today

    def of(self, entry: Entry) -> str:
        """The entry, further lines indented; before it the day, if it is another one."""
        time = entry.time.astimezone()
        level = self._styled((entry.level or "").ljust(_LEVEL_WIDTH), **_LEVELS.get(entry.level or "", {}))
        service = self._styled(entry.service.ljust(_SERVICE_WIDTH), fg=_COLOURS.get(entry.service))
        text = self._fitting(entry).replace("\n", f"\n{_INDENT}")
        return f"{self._new_day(time)}{self._dim(self._stamp(time))} {service} {level} {text}"

    def _fitting(self, entry: Entry) -> str:
        """The text; on a terminal a line that would fill it many times is cut, and says so."""
        plain = entry.text()
        if not self._terminal or len(plain) <= LONGEST:
            return entry.text(self._dim)
        return "\n".join(_cut(line) for line in plain.split("\n"))

    def _stamp(self, time: datetime) -> str:
        return (
            f"{time:%H:%M:%S}.{time.microsecond // 1000:03}"
            if self._terminal
            else time.isoformat(timespec="milliseconds")
        )

    def _new_day(self, time: datetime) -> str:
        if not self._terminal or time.date() == self._day:
            return ""
        self._day = time.date()
        return self._dim(f"── {time:%A %Y-%m-%d} ──") + "\n"

    def _dim(self, text: str) -> str:
        return self._styled(text, dim=True)

    def _styled(self, text: str, **style: Any) -> str:  # noqa: ANN401 - as click.style takes it
        return click.style(text, **style) if self._colour else text


def _cut(line: str) -> str:
    more = len(line) - LONGEST
    return f"{line[:LONGEST]} … and {more:,} characters more (| less shows them)" if more > 0 else line


def as_json(entry: Entry) -> str:
    """One object on one line: time (UTC), service, level, message, then the entry's own fields.

    A field named like one of ours gets a `_` behind its name. `continued` marks further lines of the entry before.
    """
    ours = {
        "time": entry.time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "service": entry.service,
        "level": entry.level,
        "message": entry.message,
    }
    more = {f"{name}_" if name in _OURS else name: value for name, value in entry.fields.items()}
    late = {"continued": True} if entry.late else {}
    return json.dumps(ours | more | late, ensure_ascii=False)


def text(*, colour: bool) -> Text:
    """Lines as they fit where stdout goes to."""
    from opentr.cli.terminal import console

    terminal = console(stderr=False)
    colour = colour and terminal.color_system is not None and not terminal.no_color
    return Text(terminal=terminal.is_terminal, colour=colour, today=datetime.now().astimezone().date())


def show(lines: Iterable[str], *, at_once: bool) -> int:
    """Print the lines, with `at_once` each when it comes, and return the exit code.

    Ctrl-C is how one ends following: it needs no words, and the code is what docker compose logs has.
    """
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        for line in lines:
            print(line, flush=at_once)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    return ExitCode.DONE
