"""What can go wrong in the ops tool, as typed errors.

Each carries its data and words it twice: `what` says what happened, `hint` says what to type next. They are printed in
one place, at the edge of `opentr.cli`. The exit codes of the whole project:

    0 done                                  4 a check found a blocker, nothing was touched
    1 failed, nothing changed or undone     5 failed, an operator must act
    2 wrong usage                           130 interrupted
    3 refused, a confirmation is needed

    OpentrError
    ├── ProgramMissing, ProcessFailed, ProcessKilled
    ├── SettingUnknown, SettingInvalid
    └── StateUnwritable
"""

from __future__ import annotations

import signal
from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from pathlib import Path


class ExitCode(IntEnum):
    """What the tool's exit codes mean (design §9)."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    BLOCKED = 4
    OPERATOR = 5
    INTERRUPTED = 130


class OpentrError(Exception):
    """Base of all: one line that says what happened, one that says what to type next."""

    exit_code: ClassVar[ExitCode] = ExitCode.FAILED

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


class ProgramMissing(OpentrError):
    """A program that we wanted to start isn't on this machine, or may not be run."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, program: str, reason: str) -> None:
        super().__init__(f"{program} can't be started: {reason}", f"install {program}, then try again")
        self.program = program


class ProcessFailed(OpentrError):
    """A program ended with another code than 0; `stderr` is what it said."""

    def __init__(self, command: str, code: int, stderr: str) -> None:
        said = stderr.strip() or "it said nothing"
        super().__init__(f"{command} ended with code {code}: {said}", "mend what it names, then try again")
        self.command = command
        self.code = code
        self.stderr = stderr


class ProcessKilled(OpentrError):
    """A program was ended by a signal that nobody here sent."""

    def __init__(self, command: str, number: int) -> None:
        name = signal.Signals(number).name
        hint = "look for 'Out of memory' in the kernel's log: sudo dmesg"
        super().__init__(
            f"{command} was killed by {name}", hint if number == signal.SIGKILL else "try again; if it stays, report it"
        )
        self.number = number


class SettingUnknown(OpentrError):
    """A setting that doesn't exist."""

    exit_code = ExitCode.USAGE

    def __init__(self, name: str, nearest: str | None, known: list[str]) -> None:
        guess = f"; did you mean {nearest}?" if nearest else ""
        super().__init__(f"no such setting {name}{guess}", f"correct or unset it; there are: {', '.join(known)}")
        self.name = name
        self.nearest = nearest


class SettingInvalid(OpentrError):
    """A setting whose value can't be used."""

    exit_code = ExitCode.USAGE

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"the setting {name} can't be used: {reason}", f"correct or unset {name}")
        self.name = name


class StateUnwritable(OpentrError):
    """The folder of the tool's own state can't be written."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, folder: Path, reason: str) -> None:
        super().__init__(f"{folder} can't be written: {reason}", "correct its owner, or name another: OPENTR_STATE_DIR")
        self.folder = folder
