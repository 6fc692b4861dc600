from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from opentr import process
from opentr.errors import ExitCode, ProcessFailed, ProcessKilled, ProgramMissing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Terminal

# Counts the SIGINTs that it gets; ends with 40 + their number on SIGTERM.
COUNTS_INTERRUPTS = """
import signal, sys
got = []
def interrupted(*_):
    got.append(1)
    print("got", len(got), flush=True)
signal.signal(signal.SIGINT, interrupted)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(40 + len(got)))
print("ready", flush=True)
while True:
    signal.pause()
"""


def attached(*argv: str) -> list[str]:
    """A program that runs another one attached, shows its own pid first, and ends with the other's code."""
    code = "import os, sys; from opentr import process; print('pid', os.getpid(), 'is ours', flush=True); "
    return [sys.executable, "-c", code + "sys.exit(process.attached(sys.argv[1:]))", *argv]


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def pid_on(terminal: Terminal) -> int:
    terminal.wait_for("is ours")
    return int(terminal.screen.split()[1])


def test_run_returns_what_the_program_wrote():
    assert process.run(python("print(input()[::-1])"), stdin="abc\n") == "cba\n"


def test_run_raises_with_the_programs_own_words():
    with pytest.raises(ProcessFailed) as caught:
        process.run(python("import sys; sys.exit('the disk is full')"))
    assert caught.value.code == 1
    assert caught.value.stderr == "the disk is full\n"
    assert "the disk is full" in caught.value.what
    assert caught.value.exit_code is ExitCode.FAILED


def test_run_says_which_signal_killed_the_program():
    with pytest.raises(ProcessKilled, match="killed by SIGKILL") as caught:
        process.run(python("import os; os.kill(os.getpid(), 9)"))
    assert caught.value.number == signal.SIGKILL


@pytest.mark.parametrize("start", [process.run, process.attached])
def test_a_missing_program_is_named(start: Callable[[list[str]], object]):
    with pytest.raises(ProgramMissing, match="no-such-program can't be started: No such file") as caught:
        start(["no-such-program"])
    assert caught.value.exit_code is ExitCode.BLOCKED


def test_passwords_are_not_shown():
    shown = process.shown(
        ["psql", "postgresql://ann:secret@db:5432/x", "host=db password=secret user=ann", "password='se cret'", "a b"]
    )
    assert "secret" not in shown
    assert "se cret" not in shown
    assert "postgresql://ann:***@db:5432/x" in shown
    assert "host=db password=*** user=ann" in shown
    assert shown.endswith(" 'a b'")


def test_a_password_with_an_at_sign_or_a_slash_is_not_shown_either():
    shown = process.shown(["postgresql://ann:s@cr/et@db/x"])
    assert shown == "'postgresql://ann:***@db/x'"


def test_attached_returns_the_exit_code():
    assert process.attached(python("import sys; sys.exit(7)")) == 7


def test_attached_hands_every_word_over_as_it_is(tmp_path: Path):
    words = ["a b", "--", "-x", "", "$HOME", "'"]
    out = tmp_path / "out"
    code = f"import sys; open({str(out)!r}, 'w').write(repr(sys.argv[1:]))"
    assert process.attached([*python(code), *words]) == 0
    assert out.read_text() == repr(words)


def test_attached_raises_if_the_program_was_killed():
    with pytest.raises(ProcessKilled, match="SIGKILL") as caught:
        process.attached(python("import os; os.kill(os.getpid(), 9)"))
    assert "dmesg" in caught.value.hint


def test_attached_leaves_our_own_signals_as_they_were():
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    process.attached(["true"])
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


def test_the_program_is_on_our_terminal(on_terminal: Callable[..., Terminal]):
    terminal = on_terminal(
        *attached(*python("import sys; print('a terminal:', sys.stdin.isatty() and sys.stdout.isatty())"))
    )
    assert terminal.exit_code() == 0
    assert "a terminal: True" in terminal.screen


def test_ctrl_c_reaches_the_program_once(on_terminal: Callable[..., Terminal]):
    terminal = on_terminal(*attached(*python(COUNTS_INTERRUPTS)))
    terminal.wait_for("ready")
    # Two signals at the same time would count as one: ours is held back until the program has had the terminal's.
    os.kill(pid_on(terminal), signal.SIGSTOP)
    terminal.type("\x03")
    terminal.wait_for("got 1")
    for number in (signal.SIGTERM, signal.SIGCONT):  # we see SIGINT before SIGTERM: its number is lower
        os.kill(pid_on(terminal), number)
    assert terminal.exit_code() == 41, terminal.screen


def test_an_interrupt_for_us_alone_reaches_the_program(on_terminal: Callable[..., Terminal]):
    terminal = on_terminal(*attached(*python(COUNTS_INTERRUPTS)))
    terminal.wait_for("ready")
    os.kill(pid_on(terminal), signal.SIGINT)
    terminal.wait_for("got 1")
    os.kill(pid_on(terminal), signal.SIGTERM)
    assert terminal.exit_code() == 41, terminal.screen


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_program_that_a_signal_of_ours_ended_counts_as_128_and_its_number(number: signal.Signals):
    asleep = attached("sh", "-c", "echo ready; read -r line")
    with subprocess.Popen(asleep, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        while running.stdout.readline() != "ready\n":
            pass
        running.send_signal(number)
        assert running.wait() == 128 + number
