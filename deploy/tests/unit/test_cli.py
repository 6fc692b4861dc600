from __future__ import annotations

import signal
import socket
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest

from opentr.cli.db import VERBS, Verb
from opentr.cli.main import main
from opentr.cli.root import root
from opentr.errors import ExitCode
from opentr.settings import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import RunTool, Terminal


def test_the_help_lists_the_commands(opentr: RunTool):
    said = opentr("--help")
    assert said.returncode == 0
    assert "Check, migrate and inspect the database." in said.stdout
    assert said.stderr == ""


def test_the_help_of_db_lists_each_verb_with_its_whole_sentence(opentr: RunTool):
    said = opentr("db", "--help")
    assert said.returncode == 0
    for verb, sentence in VERBS.items():
        assert any(line.split(maxsplit=1) == [verb, sentence] for line in said.stdout.splitlines())


def test_help_is_also_a_command(opentr: RunTool):
    assert opentr("help", "db").stdout == opentr("db", "--help").stdout


def test_the_help_of_a_verb_is_the_apps(opentr: RunTool):
    said = opentr("db", "check", "--help")
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.startswith("usage: ./opentr.sh db check")


def test_help_reaches_the_apps_help_too(opentr: RunTool):
    assert opentr("help", "db", "check").stdout == opentr("db", "check", "--help").stdout


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_is_a_module_of_the_app(opentr: RunTool, verb: str):
    said = opentr("db", verb, "--help")
    assert said.stdout.startswith(f"usage: ./opentr.sh db {verb}"), said.stderr
    assert said.returncode == 0


def test_the_version_is_that_of_the_file(opentr: RunTool):
    said = opentr("version")
    assert (said.returncode, said.stdout) == (0, (CHECKOUT / "VERSION").read_text())


@pytest.mark.parametrize(
    ("words", "what", "path"),
    [
        (["dv"], "no such command 'dv'; did you mean 'db'?", "./opentr.sh"),
        (
            ["db", "chek"],
            "no such command 'chek'; did you mean 'check'?",
            "./opentr.sh db",
        ),
        (["zzz"], "no such command 'zzz'", "./opentr.sh"),
        (["--hepl"], "no such option '--hepl'; did you mean '--help'?", "./opentr.sh"),
        (["db", "-x"], "no such option '-x'", "./opentr.sh db"),
        (["version", "x"], "Got unexpected extra argument (x)", "./opentr.sh version"),
        (["help", "db", "chek"], "no such command 'chek'; did you mean 'check'?", "./opentr.sh db"),
    ],
)
def test_wrong_usage_is_two_lines_and_code_2(opentr: RunTool, words: list[str], what: str, path: str):
    said = opentr(*words)
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr.splitlines() == [what, f"type {path} --help to see what there is"]


@pytest.mark.parametrize("words", [[], ["db"]])
def test_no_command_shows_the_help_as_wrong_usage(opentr: RunTool, words: list[str]):
    said = opentr(*words)
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr.startswith(opentr(*words, "--help").stdout.rstrip())


def test_a_modules_wrong_usage_is_code_2_too(opentr: RunTool):
    said = opentr("db", "check", "--no-such-option")
    assert said.returncode == 2
    assert "--no-such-option" in said.stderr
    assert "Traceback" not in said.stderr


def test_a_verb_gets_its_arguments_as_they_were_typed():
    words = ["--help", "-m", "a b", "--", "-x", "--dsn=host=db", ""]
    seen = []
    verb = Verb("seen", callback=click.pass_context(lambda ctx: seen.extend(ctx.args)), add_help_option=False)
    verb.main(words, standalone_mode=False)
    assert seen == words


def test_modules_beside_the_caller_are_not_taken_for_ours(opentr: RunTool, tmp_path: Path):
    for name in ("opentr", "click", "app", "signal"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong module')")
    said = opentr("db", "check", "--help", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert (said.returncode, said.stderr) == (0, "")


def test_an_unknown_setting_is_refused_before_anything_is_done(opentr: RunTool):
    said = opentr("version", OPENTR_STAT_DIR="/somewhere")
    assert (said.returncode, said.stdout) == (2, "")
    assert said.stderr.splitlines()[0] == "no such setting OPENTR_STAT_DIR; did you mean OPENTR_STATE_DIR?"


def test_the_help_does_not_wait_for_the_settings(environment: dict[str, str]):
    without = {name: value for name, value in environment.items() if not name.startswith("OPENTR_")}
    code = "import sys; from opentr.cli.main import main; main(['--help']); sys.exit('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=without, check=False).returncode == 0


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        yield (*path, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


@pytest.mark.parametrize("path", [" ".join(path) for path in commands(root) if path[0] not in ("db", "help")])
def test_every_command_has_a_help_that_fits_80_columns(path: str):
    command: click.Command = root
    context = click.Context(root, info_name="./opentr.sh", terminal_width=80)
    for word in path.split():
        assert isinstance(command, click.Group)
        command = command.commands[word]
        context = click.Context(command, parent=context, info_name=word, terminal_width=80)
    text = command.get_help(context)
    assert command.help
    assert "./opentr.sh " in (command.epilog or "") or isinstance(command, click.Group), f"{path} shows no example"
    assert max(map(len, text.splitlines())) <= 80


def test_the_help_names_every_command_with_its_whole_sentence():
    context = click.Context(root, info_name="./opentr.sh", terminal_width=80)
    text = root.get_help(context)
    for name, command in root.commands.items():
        line = next(line for line in text.splitlines() if line.split()[:1] == [name])
        assert not line.endswith("..."), line
        assert command.help


def test_a_reader_who_has_seen_enough_is_no_fault(environment: dict[str, str]):
    command = f"'{CHECKOUT}/opentr.sh' --help | head -n 1"
    said = subprocess.run(["/bin/bash", "-c", command], env=environment, capture_output=True, text=True, check=False)
    assert said.stdout.startswith("Usage: ")
    assert said.stderr == ""


UNWINDS = """
import select, sys, time
from opentr.cli import interrupts
interrupts.install()
try:
    print("ready", flush=True)
    time.sleep(60)
finally:
    print("cleaning", flush=True)
    while not select.select([sys.stdin], [], [], 0.05)[0]:
        pass
    print("clean", flush=True)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_a_signal_unwinds_once_and_a_second_does_not_cut_that_short(
    on_terminal: Callable[..., Terminal], number: int, code: int
):
    terminal = on_terminal(sys.executable, "-c", UNWINDS)
    terminal.wait_for("ready")
    terminal.process.send_signal(number)
    terminal.wait_for("cleaning")
    terminal.process.send_signal(number)
    terminal.wait_for("cleaning up; once more")
    terminal.type("\n")
    assert terminal.exit_code() in (code, -number)
    assert "clean\r\n" in terminal.screen


def test_a_third_signal_ends_it_at_once(on_terminal: Callable[..., Terminal]):
    terminal = on_terminal(sys.executable, "-c", UNWINDS)
    terminal.wait_for("ready")
    terminal.type("\x03")
    terminal.wait_for("cleaning")
    terminal.type("\x03")
    terminal.wait_for("once more")
    terminal.type("\x03")
    terminal.exit_code()
    assert "clean\r\n" not in terminal.screen


def test_a_shell_completes_commands_environments_and_services(environment: dict[str, str]):
    script = f"""
eval "$('{CHECKOUT}/opentr.sh' completion bash)"
for words in "./opentr.sh stat" "./opentr.sh stop dev wor" "./opentr.sh start pr"; do
    read -r -a COMP_WORDS <<<"$words"
    COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)) COMPREPLY=()
    _opentrsh_completion ./opentr.sh
    echo "${{COMPREPLY[*]}}"
done
"""
    said = subprocess.run(
        ["/bin/bash", "-c", script], cwd="/", env=environment, capture_output=True, text=True, check=False
    )
    assert (said.stdout.splitlines(), said.stderr) == (["status", "worker", "prod"], "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions_call_this_checkouts_tool(opentr: RunTool, shell: str):
    said = opentr("completion", shell)
    assert f"{shell}_complete" in said.stdout
    assert str(CHECKOUT / "opentr.sh") in said.stdout


def test_an_interrupt_ends_with_130_and_without_a_traceback(on_terminal: Callable[..., Terminal]):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"postgresql://ann@127.0.0.1:{silent.getsockname()[1]}/x?connect_timeout=2"
        terminal = on_terminal(CHECKOUT / "opentr.sh", "db", "current", "--dsn", address)
        connection, _ = silent.accept()
        with connection:
            terminal.type("\x03")
            assert terminal.exit_code() == ExitCode.INTERRUPTED
    assert "Traceback" not in terminal.screen


@pytest.fixture
def failing() -> Iterator[Callable[[Exception], list[str]]]:
    """Adds a command to the tool that raises this error."""

    def add(error: Exception) -> list[str]:
        def fail() -> None:
            raise error

        root.add_command(click.Command("fail", callback=fail))
        return ["fail"]

    yield add
    root.commands.pop("fail", None)


def test_a_fault_of_ours_is_words_on_the_screen_and_a_traceback_in_the_log(
    failing: Callable[[Exception], list[str]],
    state_dir: Path,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setenv("OPENTR_STATE_DIR", environment["OPENTR_STATE_DIR"])
    assert main(failing(ZeroDivisionError("by nothing"))) == 1
    log = state_dir / "opentr-dev" / "opentr.log"
    assert capsys.readouterr().err.splitlines() == [
        "./opentr.sh fail failed by a fault of its own: ZeroDivisionError: by nothing",
        f"please report it with the end of {log}",
    ]
    assert "Traceback (most recent call last)" in log.read_text()
    assert "raise error" in log.read_text()
    assert stat.S_IMODE(log.parent.stat().st_mode) == 0o700


def test_a_fault_is_still_told_when_the_log_cannot_be_written(
    failing: Callable[[Exception], list[str]],
    state_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    state_dir.write_text("a file where the folder should be")
    monkeypatch.setenv("OPENTR_STATE_DIR", str(state_dir))
    assert main(failing(ZeroDivisionError("by nothing"))) == 1
    what, hint = capsys.readouterr().err.splitlines()
    assert "by nothing" in what
    assert hint.startswith(f"its traceback could not be kept: {state_dir} can't be written: File exists; ")
