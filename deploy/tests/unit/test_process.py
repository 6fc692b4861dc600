from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from opentr import process
from opentr.errors import ExitCode, ProcessFailed, ProcessKilled, ProcessTimedOut, ProgramMissing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Terminal

# Counts the SIGINTs that it gets; ends with 40 + their number on SIGTERM.
COUNTS_INTERRUPTS = """
import signal, sys, time
got = []
def interrupted(*_):
    got.append(1)
    print("got", len(got), flush=True)
signal.signal(signal.SIGINT, interrupted)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(40 + len(got)))
print("ready", flush=True)
while True:  # not pause(): a signal that came just before it would wait for the next one
    time.sleep(0.05)
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


def test_our_settings_and_composes_are_not_handed_on(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENTR_PROJECT", "x")
    monkeypatch.setenv("COMPOSE_PROFILES", "x")
    monkeypatch.setenv("OTHER", "kept")
    seen = process.run(python("import os; print(sorted(os.environ))"), environment={"GIVEN": "1"})
    assert "OPENTR_PROJECT" not in seen
    assert "COMPOSE_PROFILES" not in seen
    assert "'OTHER'" in seen
    assert "'GIVEN'" in seen


def test_a_program_that_takes_too_long_is_ended():
    with pytest.raises(ProcessTimedOut, match=r"did not end within 0\.2 s"):
        process.run(["sleep", "1000"], deadline=0.2)


@pytest.mark.parametrize("call", ["process.run", "with process.lines", "with process.beside", "process.piped"])
def test_an_interrupted_tool_ends_what_it_runs_and_waits_for_it(call: str, tmp_path: Path):
    """The program says by itself that it was ended, and by what."""
    ended, wait = tmp_path / "ended", tmp_path / "wait"
    traps = ["sh", "-c", f"trap 'echo by TERM >{ended}; exit 1' TERM; mkfifo {wait}; read -r _ <{wait}"]
    block = " as it: list(it) if hasattr(it, '__iter__') else it.ended(1000)" if call.startswith("with") else ""
    code = f"from opentr import process\n{call}({traps!r}){block}"
    with subprocess.Popen(python(code), stderr=subprocess.PIPE, text=True) as tool:
        while not wait.exists():
            pass
        tool.send_signal(signal.SIGINT)
        _, complaints = tool.communicate()
    assert "KeyboardInterrupt" in complaints
    assert ended.read_text() == "by TERM\n"


def test_what_the_terminal_sends_to_us_does_not_reach_the_program(on_terminal: Callable[..., Terminal]):
    code = """
import sys
from opentr import process
with process.held(["sh", "-c", "echo ready; cat"]) as line:
    try:
        print("held", line, flush=True)
        sys.stdin.read()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""
    terminal = on_terminal(*python(code))
    terminal.wait_for("held ready")
    terminal.type("\x03")
    terminal.wait_for("interrupted")
    assert terminal.exit_code() == 0, terminal.screen


def test_held_gives_the_first_line_and_closes_stdin_at_the_end(tmp_path: Path):
    out = tmp_path / "out"
    with process.held(["sh", "-c", f"echo one; echo two; cat; echo over >{out}"]) as line:
        assert line == "one"
        assert not out.exists()
    assert out.read_text() == "over\n"


def test_held_raises_if_the_program_fails_in_the_end():
    with (
        pytest.raises(ProcessFailed, match="too late") as caught,
        process.held(["sh", "-c", "echo one; cat; echo too late >&2; exit 4"]),
    ):
        pass
    assert caught.value.code == 4


@pytest.mark.parametrize("code", [0, 3])
def test_held_raises_if_the_program_ends_without_a_line(code: int):
    with pytest.raises(ProcessFailed), process.held(["sh", "-c", f"exit {code}"]):
        pytest.fail("the block is not entered")


def test_an_error_within_the_block_goes_before_one_of_the_program():
    with pytest.raises(KeyError), process.held(["sh", "-c", "echo one; cat; exit 4"]):
        raise KeyError


def test_a_killed_tool_closes_the_stdin_of_what_it_held(tmp_path: Path):
    out = tmp_path / "out"
    os.mkfifo(out)
    held = ["sh", "-c", f"echo one; cat; echo over >{out}"]
    block = "print('ready', flush=True); time.sleep(1000)"
    code = f"import time\nfrom opentr import process\nwith process.held({held!r}): {block}"
    with subprocess.Popen(python(code), stdout=subprocess.PIPE, text=True) as tool:
        assert tool.stdout is not None
        assert tool.stdout.readline() == "ready\n"
        tool.kill()
    assert out.read_text() == "over\n"


def test_lines_come_as_they_are_written_stderr_among_them(tmp_path: Path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    with process.lines(["sh", "-c", f"echo one; read -r _ <{gate}; echo two >&2"]) as lines:
        assert next(lines) == "one"
        gate.write_text("go\n")
        assert list(lines) == ["two"]


def test_lines_raises_after_the_last_one():
    with pytest.raises(ProcessFailed) as caught, process.lines(["sh", "-c", "echo one; exit 5"]) as lines:
        assert list(lines) == ["one"]
    assert caught.value.code == 5


def test_programs_are_found_in_paths_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for folder, mode in (("a", 0o644), ("b", 0o755), ("c", 0o755)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "tool").touch(mode)
    monkeypatch.setenv("PATH", os.pathsep.join(str(tmp_path / name) for name in ("a", "c", "b", "c", "none")))
    assert process.programs("tool") == [tmp_path / "c" / "tool", tmp_path / "b" / "tool"]


def test_a_process_that_a_killed_tool_has_left_is_found_by_its_words_and_ended():
    pid = int(process.run(["sh", "-c", "sleep 4321.5 >/dev/null 2>&1 & echo $!"]))
    assert process.others(("sleep", "4321.5")) == [pid]
    assert process.others(("sleep", "4321.5"), ("another",)) == []
    process.end(pid, patience=0)
    assert process.others(("sleep", "4321.5")) == []


def test_our_own_children_are_no_orphans():
    with process.held(["sh", "-c", "echo here; exec cat - /dev/null"]) as line:
        assert line == "here"
        assert process.others(("cat", "-", "/dev/null")) == []
