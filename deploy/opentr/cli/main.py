"""The tool's edge: what was typed comes in, an exit code goes out, and errors become words."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from opentr import ui
from opentr.cli import terminal
from opentr.cli.root import PROGRAM, root
from opentr.cli.usage import usage_words
from opentr.errors import ExitCode, OpentrError
from opentr.errors.deploy import RolledBack
from opentr.errors.services import ServiceUnhealthy

if TYPE_CHECKING:
    from collections.abc import Sequence

COMPLETE = "_OPENTR_COMPLETE"
"""The variable by which a shell asks for completions."""


def main(argv: Sequence[str]) -> int:
    """Runs the command that was typed and returns its exit code (design §9)."""
    ui.use(terminal.sink())
    try:
        _check_settings()
        code: int = root.main([*argv], prog_name=PROGRAM, complete_var=COMPLETE, standalone_mode=False) or ExitCode.DONE
    except click.Abort:
        terminal.print_error("interrupted", "type the same command again: it begins where things stand")
        code = ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the edge: whatever it is, it becomes words
        what, hint, code = _words(error, argv)
        if isinstance(error, ServiceUnhealthy | RolledBack):
            terminal.print_log(error.log)
        terminal.print_error(what, hint)
    _flush()
    return code


def _flush() -> None:
    """Writes what is left; a reader that has seen enough (`| head`) is no fault."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _check_settings() -> None:
    """Refuses a wrong setting before anything is done. Raises SettingUnknown, SettingInvalid."""
    # Importing the settings takes longer than the whole help.
    if any(name.startswith("OPENTR_") for name in os.environ):  # noqa: TID251 - names only; opentr.settings reads
        from opentr import settings

        settings.read()


def _words(error: Exception, argv: Sequence[str]) -> tuple[str, str, ExitCode]:
    """What happened, what to type next, and the exit code."""
    if isinstance(error, OpentrError):
        return error.what, error.hint, error.exit_code
    if isinstance(error, click.UsageError):
        return *usage_words(error), ExitCode.USAGE
    return *_fault_words(error, argv), ExitCode.FAILED


def _fault_words(error: Exception, argv: Sequence[str]) -> tuple[str, str]:
    from opentr import process, settings, state

    command = process.shown([PROGRAM, *argv])
    what = f"{command} failed by a fault of its own: {type(error).__name__}: {error}"
    try:
        log = state.record_traceback(settings.read(), error, command)
    except OpentrError as cause:
        return what, f"its traceback could not be kept: {cause.what}; {cause.hint}"
    return what, f"please report it with the end of {log}"
