"""How notes, steps, plans and data look. Notes and steps go to stderr, results to stdout.

On a terminal the steps at work are spinning lines at the bottom, and each becomes one line when it ends; elsewhere a
step is a plain line when it ends, and one more before if it takes long.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from opentr.errors import ConfirmationNeeded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.text import Text

    from opentr.actions.steps import Step
    from opentr.ui import Sink

QUIET_SECONDS = 10.0
"""Without a terminal the progress of a step is told this often at most."""

LONG_SECONDS = 2.0
"""Without a terminal a step that takes longer than this tells that it has begun."""

_BAR_WIDTH = 24
_FRAME_WIDTH = 2
"""Of the spinner's sign and the blank behind it."""
_STATES = {"healthy": "green", "starting|created": "yellow", "unhealthy|restarting|exited|dead|paused": "red"}
"""The colours of what stands in a line's second column."""
_MINUTE = 60


def sink() -> Sink:
    """What fits where stderr goes to."""
    return Lively() if sys.stderr.isatty() else Plain()


def seconds(duration: float) -> str:
    """A duration in words: 0.4 s, 12 s, 3 min 05 s."""
    if duration < 9.95:  # noqa: PLR2004 - what rounds to 9.9
        return f"{duration:.1f} s"
    minutes, rest = divmod(round(duration), _MINUTE)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


class Plain:
    """Lines, for files and pipes."""

    def note(self, text: str) -> None:
        """Tell one line."""
        sys.stderr.write(f"{text}\n")  # at once: steps may run in several threads

    @contextmanager
    def step(self, what: str) -> Iterator[_PlainStep]:
        """Tell the step's end with the time that it took; and its begin, if that takes long."""
        began = time.monotonic()
        begin = threading.Timer(LONG_SECONDS, self.note, [f"{what} …"])
        begin.daemon = True
        begin.start()
        try:
            yield _PlainStep(self, what, began)
        except BaseException:
            begin.cancel()
            self.note(f"{what}: failed after {seconds(time.monotonic() - began)}")
            raise
        begin.cancel()
        self.note(f"{what}: {seconds(time.monotonic() - began)}")


class _PlainStep:
    def __init__(self, lines: Plain, what: str, began: float) -> None:
        self._lines = lines
        self._what = what
        self._told = began
        self._last = ""

    def show(self, text: str, part: float | None = None) -> None:  # noqa: ARG002 - for those who can draw
        """Tell how far it has come, now and then, if it has come further."""
        if text != self._last and time.monotonic() - self._told >= QUIET_SECONDS:
            self._told, self._last = time.monotonic(), text
            self._lines.note(f"{self._what}: {text}")


class Lively:
    """Spinning lines that become `✓ what  1.2 s`, for terminals. Steps may run in several threads."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._steps: list[_LivelyStep] = []
        self._live: Live | None = None

    def note(self, text: str) -> None:
        """Tell one line, above the steps at work."""
        with self._lock:
            if self._live:
                self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)
            else:
                print(text, file=sys.stderr, flush=True)

    @contextmanager
    def step(self, what: str) -> Iterator[_LivelyStep]:
        """Show the step for as long as the block lasts, then say how it ended."""
        step = _LivelyStep(what)
        self._begin(step)
        try:
            yield step
        except BaseException:
            self._end(step, mark="✗", colour="red")
            raise
        self._end(step, mark="✓", colour="green")

    def _begin(self, step: _LivelyStep) -> None:
        from rich.live import Live

        with self._lock:
            self._steps.append(step)
            if not self._live:
                self._live = Live(console=console(), get_renderable=self._rendered, transient=True)
                self._live.start()

    def _end(self, step: _LivelyStep, *, mark: str, colour: str) -> None:
        from rich.text import Text

        line = Text.assemble((mark, colour), f" {step.what}  ", (seconds(step.duration), "dim"))
        with self._lock:
            live = self._live
            self._steps.remove(step)
            if live and not self._steps:
                self._live = None
                live.stop()
            if live:
                live.console.print(line, soft_wrap=True)

    def _rendered(self) -> RenderableType:
        from rich.console import Group

        with self._lock:
            return Group(*(step.rendered() for step in self._steps))


class _LivelyStep:
    def __init__(self, what: str) -> None:
        from rich.spinner import Spinner

        self.what = what
        self._began = time.monotonic()
        self._progress = ""
        self._part: float | None = None
        self._spinner = Spinner("dots", style="cyan")

    @property
    def duration(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._began

    def show(self, text: str, part: float | None = None) -> None:
        """Show how far it has come."""
        self._progress, self._part = text, part

    def rendered(self) -> RenderableType:
        """The line as it looks now, cut at the terminal's edge."""
        from rich.text import Text

        line = Text(f"{self.what}  ")
        if self._part is not None:
            line.append_text(_bar(self._part))
        line.append("  ".join(filter(None, (self._progress, seconds(self.duration)))), style="dim")
        line.truncate(console().width - _FRAME_WIDTH, overflow="ellipsis")  # the spinner would wrap it
        self._spinner.update(text=line)
        return self._spinner


def _bar(part: float) -> Text:
    from rich.text import Text

    full = round(_BAR_WIDTH * min(max(part, 0.0), 1.0))
    return Text.assemble(("█" * full, "cyan"), ("░" * (_BAR_WIDTH - full), "dim"), "  ")


def console(*, stderr: bool = True) -> Console:
    """The terminal as rich sees it: NO_COLOR and the width are its business."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


def print_json(data: object) -> None:
    """Print one object for programs."""
    print(json.dumps(data, indent=2, default=str))


def print_plan(steps: Sequence[Step]) -> None:
    """Print what would be done, and how."""
    if not steps:
        print("nothing to do")
    for number, step in enumerate(steps, 1):
        print(f"{number}. {step.what}")
        for line in step.how.splitlines():
            print(f"     {line}")


def repaint(lines: Callable[[], list[str]], seconds: float) -> None:
    """Show these lines, and again what they have become after so many seconds, until Ctrl-C."""
    from rich.live import Live
    from rich.text import Text

    screen = console(stderr=False)
    if not screen.is_terminal:
        raise click.UsageError("--watch needs a terminal")
    try:
        with Live(Text("..."), console=screen, auto_refresh=False, screen=True) as live:
            while True:
                live.update(_painted(lines()), refresh=True)
                time.sleep(seconds)
    except KeyboardInterrupt:
        return


def print_states(lines: Sequence[str]) -> None:
    """Print lines that tell how services are; on a terminal in colours."""
    if sys.stdout.isatty():
        console(stderr=False).print(_painted(lines), soft_wrap=True)
    else:
        print("\n".join(lines))


def _painted(lines: Sequence[str]) -> Text:
    from rich.text import Text

    text = Text("\n".join(lines))
    for words, colour in _STATES.items():
        text.highlight_regex(rf"(?m)^\S+ +(?P<{colour}>{words})\b")
    return text


def print_log(lines: Sequence[str]) -> None:
    """Print the last lines that a service wrote, without secrets."""
    from opentr.redaction import redacted

    for line in lines:
        print(f"  | {redacted(line)}", file=sys.stderr)


def print_error(what: str, hint: str) -> None:
    """Print what happened, and what to type next."""
    if sys.stderr.isatty():
        from rich.text import Text

        console().print(Text(what, style="red"), soft_wrap=True)
    else:
        print(what, file=sys.stderr)
    print(hint, file=sys.stderr)


def columns(rows: Sequence[Mapping[str, str]], *, titles: Sequence[str]) -> list[str]:
    """The rows as lines under capital titles. Columns are as wide as they need to be; empty ones are left out."""
    used = [title for title in titles if any(row.get(title) for row in rows)]
    widths = {title: max(len(title), *(len(row.get(title, "")) for row in rows)) for title in used}
    lines = ["  ".join(title.upper().ljust(widths[title]) for title in used)]
    lines += ["  ".join(row.get(title, "").ljust(widths[title]) for title in used) for row in rows]
    return [line.rstrip() for line in lines]


def confirmed(*, yes: bool, deed: str) -> None:
    """Returns when the user agrees: by --yes, or by typing yes at a terminal. Raises ConfirmationNeeded."""
    if yes:
        return
    if _asked(f"This will {deed}. Go on? [yes/no] ") not in ("y", "yes"):
        raise ConfirmationNeeded(deed, "--yes")


def confirmed_name(name: str, *, given: str | None, deed: str) -> None:
    """Returns when the environment's name was given by --confirm, or is typed now. Raises ConfirmationNeeded."""
    answer = _asked(f"This will {deed}.\nType {name} to go on: ") if given is None else given
    if answer != name:
        raise ConfirmationNeeded(deed, f"--confirm {name}")


def _asked(question: str) -> str:
    """What is typed in answer; nothing where there is no terminal to ask at."""
    if not sys.stdin.isatty():
        return ""
    click.echo(question, nl=False, err=True)
    return sys.stdin.readline().strip().lower()
