"""What goes wrong with the Docker engine, its plugins and images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentr.errors import ExitCode, OpentrError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class EngineMissing(OpentrError):
    """No Docker engine answers, or not to us; `hint` goes by the cause."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, host: str, reason: str, hint: str) -> None:
        super().__init__(f"no Docker engine answers at {host}: {reason}", hint)
        self.host = host


class EngineTooOld(OpentrError):
    """The engine's version lacks what we need."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, found: str, needed: str) -> None:
        super().__init__(f"the Docker engine is too old: {found}; {needed} or newer is needed", "upgrade Docker")
        self.found = found


class EngineRefused(OpentrError):
    """The engine answered with an error; `reason` is what it said."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the Docker engine refused: {reason}", "mend what it names, then try again")
        self.reason = reason


class ComposeMissing(OpentrError):
    """There is no docker command with Compose 2."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, found: Sequence[str]) -> None:
        where = "; ".join(found) or "there is no docker command on PATH"
        super().__init__(
            f"Docker Compose is missing: {where}", "install Compose and Buildx: scripts/docker_engine.sh --install"
        )
        self.found = found


class ComposeTooOld(OpentrError):
    """Docker Compose is there, but in a version that lacks what we need."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, program: Path, found: str, needed: str) -> None:
        super().__init__(
            f"Docker Compose of {program} is too old: {found}; {needed} or newer is needed",
            "upgrade it: scripts/docker_engine.sh --install, or your distribution's packages",
        )
        self.found = found


class BuildxMissing(OpentrError):
    """The docker command can't build: its Buildx plugin isn't there."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, program: str) -> None:
        super().__init__(f"{program} has no Buildx plugin", "install it: scripts/docker_engine.sh --install")


class NetworksExhausted(OpentrError):
    """The engine has no addresses left for a further network."""

    exit_code = ExitCode.BLOCKED

    def __init__(self) -> None:
        super().__init__(
            "the Docker engine has no addresses left for further networks",
            "remove those that nobody uses (docker network prune), or give it more: default-address-pools in "
            "/etc/docker/daemon.json",
        )


class ImageUnknown(OpentrError):
    """An image that we don't build."""

    exit_code = ExitCode.USAGE

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f"no such image {name}", f"there are: {', '.join(known)}")
        self.name = name


class BuildFailed(OpentrError):
    """An image could not be built; `log` is the file with all of the output, `tail` its end."""

    def __init__(self, image: str, tail: Sequence[str], log: Path, hint: str) -> None:
        super().__init__("\n".join([f"the image {image} could not be built:", *(f"    {line}" for line in tail)]), hint)
        self.image = image
        self.tail = tail
        self.log = log
