"""What can go wrong while recordings are handed to the API, as typed errors.

OpentrError
├── ApiNotRunning, ApiSilent, ApiRefused
├── LoginRefused, PasswordUnusable
└── RecordingUnusable, RecordingRefused, TranscriptionFailed, TranscriptionsLeft
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentr.errors import ExitCode, OpentrError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class ApiNotRunning(OpentrError):
    """The environment's API isn't reached at any port of this machine."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, environment: str) -> None:
        super().__init__(f"the API of {environment} isn't running", f"type ./opentr.sh start {environment}")


class ApiSilent(OpentrError):
    """The API gave no answer, or one that says that it can't answer now."""

    def __init__(self, environment: str, reason: str) -> None:
        super().__init__(
            f"the API of {environment} doesn't answer: {reason}",
            f"see how it is: ./opentr.sh status {environment}; what it says: ./opentr.sh logs {environment} api",
        )


class ApiRefused(OpentrError):
    """The API refused a request; `said` is its reason."""

    def __init__(self, status: int, said: str, wait_seconds: str | None = None) -> None:
        again = f"try again in {wait_seconds} s" if wait_seconds else "mend what it names, then try again"
        super().__init__(f"the API refused: {said}", again)
        self.status = status
        self.said = said


class LoginRefused(OpentrError):
    """A user can't log in. The words never hold the password."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, email: str, said: str, command: str, wait_seconds: str | None = None) -> None:
        other = f"give the right password, or name another user: {command} --user EMAIL FILE"
        super().__init__(f"{email} can't log in: {said}", f"try again in {wait_seconds} s" if wait_seconds else other)


class PasswordUnusable(OpentrError):
    """A file that was named for a password holds none that can be read."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(f"no password can be read from {file}: {reason}", "write it there, on one line")


class RecordingUnusable(OpentrError):
    """A file that can't be uploaded, whatever it is; nothing was sent."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} can't be uploaded: {reason}", "name a file that you can read")


class RecordingRefused(OpentrError):
    """The API takes no such file; nothing of it was kept. `hint` depends on why."""

    def __init__(self, name: str, said: str, hint: str) -> None:
        super().__init__(f"{name} was refused: {said}", hint)


class TranscriptionFailed(OpentrError):
    """A recording was accepted and has no transcript; `reason` is the API's."""

    def __init__(self, name: str, reason: str, hint: str) -> None:
        super().__init__(f"{name} was not transcribed: {reason}", hint)


class TranscriptionsLeft(OpentrError):
    """Ctrl-C: the server goes on with what it has accepted, if it has accepted anything."""

    exit_code = ExitCode.INTERRUPTED

    def __init__(self, names: Sequence[str], files: Sequence[int], command: str) -> None:
        show, cancel = (" ".join(f"--{word} {file}" for file in files) for word in ("show", "cancel"))
        self.names = ", ".join(names)
        super().__init__(
            f"interrupted; the server goes on with {self.names}" if files else "interrupted; nothing was accepted yet",
            f"see it later: {command} {show}; end it: {command} {cancel}" if files else "type the same command again",
        )
