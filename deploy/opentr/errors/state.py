"""What goes wrong with the tool's own state, and with who an environment belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentr.errors import ExitCode, OpentrError

if TYPE_CHECKING:
    from pathlib import Path


class StateUnwritable(OpentrError):
    """The folder of the tool's own state can't be written."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, folder: Path, reason: str, *, full: bool = False) -> None:
        hint = "correct its owner, or name another: OPENTR_STATE_DIR"
        room = f"make room there (df -h '{folder}' shows how much there is), then try again"
        super().__init__(f"{folder} can't be written: {reason}", room if full else hint)
        self.folder = folder


class StateUnreadable(OpentrError):
    """A record in the state that isn't what we wrote: somebody has edited it, or the disk has lost it."""

    exit_code = ExitCode.OPERATOR

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(f"{file} is damaged: {reason}", "look at it; bring it back from a backup, or move it away")
        self.file = file


class StateOwned(OpentrError):
    """The state belongs to another user of this machine."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, folder: Path, owner: str, caller: str) -> None:
        hint = "call it with sudo" if owner == "root" else f"call it as {owner}, without sudo"
        super().__init__(f"{folder} belongs to {owner}, and you are {caller}", hint)
        self.owner = owner


class StateOfAnother(OpentrError):
    """The state belongs to another project or environment than the settings name."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, folder: Path, belongs_to: str, asked_for: str) -> None:
        super().__init__(
            f"{folder} is the state of {belongs_to}, and this would be {asked_for}, with a database of its own",
            "set OPENTR_PROJECT back to what it was, or give the other one a state of its own: OPENTR_STATE_DIR",
        )


class StateNotOurs(OpentrError):
    """The folder that is to hold the state holds something else."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, folder: Path, found: str) -> None:
        super().__init__(
            f"{folder} is no state of ours: it holds {found}", "name an empty folder, or one that isn't there yet"
        )


class LockHeld(OpentrError):
    """Another command is working on the environment."""

    exit_code = ExitCode.BLOCKED

    def __init__(
        self, project: str, pid: int | None, command: str, seconds: int | None, host: str | None = None
    ) -> None:
        at = f" on {host}" if host else ""
        known = f" (pid {pid}{at}, for {seconds} s)" if pid else ""
        end = f" (kill {pid}{at})" if pid else ""
        super().__init__(
            f"{command}{known} is working on {project}", f"wait for its end, or end it with Ctrl-C in its terminal{end}"
        )
        self.pid = pid
        self.command = command


class StateForeign(OpentrError):
    """The project's containers or data belong to another checkout."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, project: str, checkout: str) -> None:
        super().__init__(
            f"{project} belongs to another checkout: {checkout}",
            f"work there, or choose another name for this one: OPENTR_PROJECT={project}-2",
        )
        self.project = project
        self.checkout = checkout


class StateUnknown(OpentrError):
    """The project was made from this checkout, but with a state that is gone: its secrets are lost."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, project: str, folder: Path) -> None:
        super().__init__(
            f"{project} was started from here with another state than {folder}: that one was deleted or lies elsewhere",
            f"bring it back, point OPENTR_STATE_DIR to it, or choose another name: OPENTR_PROJECT={project}-2",
        )
        self.project = project
        self.folder = folder


class VolumeVanished(OpentrError):
    """A database was made here once, and its volume (or folder) is gone. Nothing makes an empty one in its place."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, project: str, environment: str, made_at: str, kept_in: str = "volume") -> None:
        way = {
            "dev": "type ./opentr.sh reset dev --hard to begin with an empty one",
            "prod": "bring it back: ./opentr.sh restore prod --latest;"
            " or begin anew, with its backups gone too: ./opentr.sh purge prod",
        }
        super().__init__(
            f"the data of {project}, made at {made_at}, is gone: its {kept_in} isn't there", way[environment]
        )
        self.project = project


class DatabaseVanished(OpentrError):
    """Production's volume is there, and the database that was made in it isn't, or has no tables."""

    exit_code = ExitCode.OPERATOR

    def __init__(self, project: str, made_at: str, state: Path) -> None:
        super().__init__(
            f"the database of {project}, made at {made_at}, is gone or empty; nothing makes a new one in its place",
            "choose a backup from before that (./opentr.sh backup list prod): ./opentr.sh restore prod --backup ID;"
            f" or begin with an empty one: remove {state / 'database.json'}, then type ./opentr.sh start prod",
        )
        self.project = project
