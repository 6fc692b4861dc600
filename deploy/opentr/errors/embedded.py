"""What goes wrong where services are local processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentr.errors import ExitCode, OpentrError

if TYPE_CHECKING:
    from pathlib import Path


class ProgramsMissing(OpentrError):
    """A server's programs aren't on this machine."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, name: str, reason: str) -> None:
        hint = "install it: sudo apt install redis-server" if name == "Redis" else "type: ./opentr.sh build dev"
        super().__init__(f"{name} is missing: {reason}", hint)


class PathUnfit(OpentrError):
    """The path where programs or data lie has a character that Postgres's own programs can't take."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, place: Path, character: str) -> None:
        super().__init__(
            f"Postgres's initdb can't work in a folder whose path has a {character!r}: {place}",
            "move it to another place; or start a Docker engine, whose containers don't know this path",
        )


class UserUnnamed(OpentrError):
    """We run as a number that no user of this machine has."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, uid: int) -> None:
        super().__init__(
            f"the user {uid} has no name on this machine, and Postgres asks for one",
            f"add it: echo 'opentr:x:{uid}:{uid}::/tmp:/bin/sh' | sudo tee -a /etc/passwd",
        )


class SocketFolderTaken(OpentrError):
    """The folder for sockets is somebody else's, or open to others."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"{folder}, the folder for the services' sockets, isn't ours alone",
            "look who made it; remove it, or set TMPDIR to a folder of your own with a short path",
        )


class SupervisorRefused(OpentrError):
    """supervisord, which keeps the services, doesn't do what it was asked for."""

    def __init__(self, reason: str, log: Path) -> None:
        super().__init__(f"the services' supervisor refused: {reason}", f"read its log: {log}")


class RuntimeOfAnother(OpentrError):
    """An environment's data is kept by another runtime."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, project: str, kept: str, wanted: str, hint: str) -> None:
        super().__init__(f"{project} has its data in {kept}, not in {wanted}", hint)
