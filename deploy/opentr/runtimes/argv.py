"""The docker commands of the compose runtime, as values. Nothing here runs one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentr.containers import ONEOFF_LABEL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True)
class Project:
    """What every Compose command of an environment begins with."""

    docker: tuple[str, ...]
    """the docker command and the options that name the engine"""
    name: str
    folder: Path
    file: Path
    variables: Path
    """the file with the variables of the Compose file"""

    def compose(self, *words: str) -> list[str]:
        """A Compose command that knows the services of all profiles."""
        return [
            *self.docker,
            "compose",
            *("--project-name", self.name),
            *("--project-directory", str(self.folder)),
            *("--env-file", str(self.variables)),
            *("--file", str(self.file)),
            *("--profile", "*"),
            *words,
        ]

    def up(self, services: Sequence[str]) -> list[str]:
        """Make and start services, and what they depend on. Images are here: nothing is built or pulled."""
        return self.compose("--progress", "quiet", "up", "--detach", "--no-build", "--pull", "never", *services)

    def stop(self, services: Sequence[str]) -> list[str]:
        """Stop services, each with its own signal and grace period."""
        return self.compose("--progress", "quiet", "stop", *services)

    def restart(self, services: Sequence[str]) -> list[str]:
        """Stop and start services, and nothing else."""
        return self.compose("--progress", "quiet", "restart", "--no-deps", *services)

    def down(self, *, volumes: bool) -> list[str]:
        """Remove containers and networks, and with `volumes` the data."""
        options = ["--volumes"] if volumes else []
        return self.compose("--progress", "quiet", "down", "--remove-orphans", *options)

    def hashes(self) -> list[str]:
        """Print each service with the hash of how it is described, a line each."""
        return self.compose("config", "--hash", "*")

    def run(  # noqa: PLR0913 - each is a part of the command
        self, service: str, argv: Sequence[str], *, name: str, owner: str, environment: Mapping[str, str], tty: bool
    ) -> list[str]:
        """Run a program in a container of its own. `owner` is who waits for it; without, it is a leftover."""
        given = [word for key, value in sorted(environment.items()) for word in ("--env", f"{key}={value}")]
        return self.compose(
            "--progress", "quiet", "run", "--rm", "--no-deps",
            *("--name", name),
            *("--label", f"{ONEOFF_LABEL}={owner}"),
            *([] if tty else ["--no-TTY"]),
            *given,
            service,
            *argv,
        )  # fmt: skip

    def exec(self, container: str, argv: Sequence[str], *, tty: bool = False) -> list[str]:
        """Run a program in a running container, our stdin as its own."""
        return [*self.docker, "exec", "--interactive", *(["--tty"] if tty else []), container, *argv]
