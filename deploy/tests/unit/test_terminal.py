from __future__ import annotations

import re
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from opentr import ui
from opentr.actions.steps import Step
from opentr.cli import terminal
from opentr.errors import ConfirmationNeeded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Terminal

STEPS = """
from opentr import ui
from opentr.cli import terminal
ui.use(terminal.sink())
ui.note("where it runs")
with ui.step("build [the] images") as progress:
    with ui.step("build api"):
        ui.show("3 of 5 layers", 0.25)
        ui.note("beside the step")
        input()
try:
    with ui.step("start postgres"):
        raise ValueError
except ValueError:
    pass
terminal.print_error("it [bold]failed[/bold]: at step 1", "type this")
"""


@pytest.fixture(autouse=True)
def _silent() -> Iterator[None]:
    ui.use(ui.Silent())
    yield
    ui.use(ui.Silent())


def test_nothing_is_told_without_a_sink(capfd: pytest.CaptureFixture[str]):
    ui.note("a note")
    with ui.step("a step"):
        ui.show("half of it")
    ui.show("outside of any step")
    assert capfd.readouterr() == ("", "")


def test_without_a_terminal_a_step_is_a_line_with_its_time(capsys: pytest.CaptureFixture[str]):
    ui.use(terminal.Plain())
    ui.note("a note")
    with ui.step("make the database"), ui.step("make a template"):
        ui.show("told too often to be told")
    with pytest.raises(ValueError, match="x"), ui.step("start postgres"):
        raise ValueError("x")
    out, err = capsys.readouterr()
    assert out == ""
    assert re.sub(r"\d\.\d s", "T", err).splitlines() == [
        "a note",
        "make a template: T",
        "make the database: T",
        "start postgres: failed after T",
    ]


def test_without_a_terminal_a_long_step_tells_that_it_has_begun(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    told = threading.Event()
    monkeypatch.setattr(terminal, "LONG_SECONDS", 0.01)
    plain = terminal.Plain()
    monkeypatch.setattr(plain, "note", lambda text: (sys.stderr.write(f"{text}\n"), told.set()))
    with plain.step("build"):
        assert told.wait(10)
    assert capsys.readouterr().err.splitlines()[0] == "build …"


def test_on_a_terminal_steps_spin_and_become_lines(on_terminal: Callable[..., Terminal]):
    screen = on_terminal(sys.executable, "-c", STEPS)
    screen.wait_for("3 of 5 layers")
    assert "█" * 6 + "░" * 18 in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.screen)
    screen.type("\n")
    assert screen.exit_code() == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.screen)
    for line in ("✓ build api  ", "✓ build [the] images  ", "✗ start postgres  ", "beside the step", "where it runs"):
        assert line in plain
    assert "it [bold]failed[/bold]: at step 1\r\ntype this" in plain


def test_a_step_that_is_wider_than_the_terminal_is_cut(on_terminal: Callable[..., Terminal]):
    screen = on_terminal("env", "COLUMNS=20", sys.executable, "-c", STEPS)
    screen.wait_for("…")
    screen.type("\n")
    assert screen.exit_code() == 0
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.screen)
    assert max(len(line) for line in re.split(r"[\r\n]+", plain) if "…" in line) <= 20


def test_no_color_is_heeded(on_terminal: Callable[..., Terminal]):
    screen = on_terminal("env", "NO_COLOR=1", sys.executable, "-c", STEPS)
    screen.type("\n")
    assert screen.exit_code() == 0
    assert re.search(r"\x1b\[[0-9;]*3[1-6]m", screen.screen) is None


@pytest.mark.parametrize(
    ("duration", "words"),
    [
        (0, "0.0 s"),
        (0.449, "0.4 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
    ],
)
def test_durations_in_words(duration: float, words: str):
    assert terminal.seconds(duration) == words


def test_a_plan_is_numbered_what_and_how(capsys: pytest.CaptureFixture[str]):
    terminal.print_plan([Step("start postgres", "PAUSE\ndocker compose up", print), Step("remember", "", print)])
    terminal.print_plan([])
    assert capsys.readouterr().out.splitlines() == [
        "1. start postgres",
        "     PAUSE",
        "     docker compose up",
        "2. remember",
        "nothing to do",
    ]


def test_columns_are_as_wide_as_needed_and_empty_ones_left_out():
    rows = [{"service": "postgres", "state": "healthy"}, {"service": "api", "state": ""}]
    assert terminal.columns(rows, titles=("service", "state", "restarts")) == [
        "SERVICE   STATE",
        "postgres  healthy",
        "api",
    ]


def test_a_name_that_was_not_confirmed_is_refused_with_what_to_add():
    terminal.confirmed_name("prod", given="prod", deed="remove all data")
    with pytest.raises(ConfirmationNeeded) as caught:
        terminal.confirmed_name("prod", given="dev", deed="remove all data")
    assert caught.value.what == "this would remove all data; it wasn't confirmed, and nothing was done"
    assert caught.value.hint == "add --confirm prod to go ahead"
    assert caught.value.exit_code == 3


ASKS = "from opentr.cli import terminal; terminal.confirmed_name('prod', given=None, deed='x'); print('agreed')"


def test_a_name_can_be_typed_at_a_terminal(on_terminal: Callable[..., Terminal]):
    screen = on_terminal(sys.executable, "-c", ASKS)
    screen.wait_for("Type prod to go on: ")
    screen.type("prod\n")
    assert screen.exit_code() == 0
    assert "agreed" in screen.screen


def test_yes_is_not_a_name(on_terminal: Callable[..., Terminal]):
    screen = on_terminal(sys.executable, "-c", ASKS)
    screen.wait_for("Type prod to go on: ")
    screen.type("yes\n")
    assert screen.exit_code() == 1
    assert "ConfirmationNeeded" in screen.screen
