"""What can go wrong in the ops tool, as typed errors.

Each carries its data and words it twice: `what` says what happened, `hint` says what to type next. They are printed in
one place, at the edge of `opentr.cli`. The exit codes of the whole project:

    0 done                                  4 a check found a blocker, nothing was touched
    1 failed, nothing changed or undone     5 failed, an operator must act
    2 wrong usage                           130 interrupted
    3 refused, a confirmation is needed

    OpentrError
    ├── ProgramMissing, ProcessFailed, ProcessKilled, ProcessTimedOut, UndoFailed, ConfirmationNeeded
    ├── settings    of .env files, variables and secrets
    ├── state       of the tool's own folder, and of who an environment belongs to
    ├── engine      of Docker, its plugins and images
    ├── services    of what runs, and of what is asked of it
    ├── embedded    of local processes
    ├── data        of generations of data, and of dumps
    └── backup, restore, deploy, transcribe
"""

from __future__ import annotations

import signal
from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence


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


class ProcessTimedOut(OpentrError):
    """A program took longer than it may; it was ended."""

    def __init__(self, command: str, seconds: float) -> None:
        super().__init__(f"{command} did not end within {seconds:g} s", "look at it: ./opentr.sh status")
        self.seconds = seconds


class UndoFailed(OpentrError):
    """Something failed, and what had been done before it could not be undone."""

    exit_code = ExitCode.OPERATOR

    def __init__(self, cause: str, left: Sequence[tuple[str, str]]) -> None:
        undone = "; ".join(f"{what} ({reason})" for what, reason in left)
        super().__init__(f"{cause}; and this could not be undone: {undone}", "look at it: ./opentr.sh status")
        self.left = left


class ConfirmationNeeded(OpentrError):
    """Something that must be confirmed wasn't."""

    exit_code = ExitCode.REFUSED

    def __init__(self, deed: str, option: str) -> None:
        super().__init__(f"this would {deed}; it wasn't confirmed, and nothing was done", f"add {option} to go ahead")
        self.deed = deed
