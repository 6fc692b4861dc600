"""What goes wrong with an environment's services, whatever they run in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentr.errors import ExitCode, OpentrError

if TYPE_CHECKING:
    from collections.abc import Sequence


class RuntimeRefused(OpentrError):
    """A runtime that can't be used here."""

    exit_code = ExitCode.USAGE

    def __init__(self, name: str, reason: str, hint: str = "leave --runtime out: the one that fits is taken") -> None:
        super().__init__(f"the runtime {name} can't be used: {reason}", hint)


class ServiceNotRunning(OpentrError):
    """A service in which something was to be run isn't running."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, service: str, environment: str) -> None:
        super().__init__(f"{service} is not running", f"start it: ./opentr.sh start {environment}")
        self.service = service


class ServiceUnhealthy(OpentrError):
    """A service was started and doesn't do its work; `log` holds the last lines that it wrote, secrets and all."""

    exit_code = ExitCode.OPERATOR

    def __init__(self, service: str, reason: str, log: Sequence[str], environment: str) -> None:
        super().__init__(f"{service} {reason}", f"read its log: ./opentr.sh logs {environment} {service}")
        self.service = service
        self.log = log


class PortTaken(OpentrError):
    """Another program listens on the port that a service is to be reached at."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, service: str, port: int, setting: str, holder: str | None) -> None:
        by = f" by {holder}" if holder else ""
        super().__init__(
            f"the port {port}, at which {service} is to be reached, is taken{by}",
            f"end what holds it, or give {service} another one in .env: {setting}={port + 1}",
        )
        self.service = service
        self.port = port


class DiskFull(OpentrError):
    """No room is left in `folder`: `free` bytes. With `engine` it is where the Docker engine keeps its data."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, what: str, folder: str, free: int | None, *, engine: bool = True) -> None:
        left = "" if free is None else f" ({free // 1_000_000} MB free)"
        whose = " for the Docker engine" if engine else ""
        shown = (
            "make room there; docker system df shows what takes it, docker builder prune frees the builds' cache"
            if engine
            else "make room there (./opentr.sh status tells how much is free), then try again"
        )
        super().__init__(f"{what} failed: no room left{whose} in {folder}{left}", shown)
        self.folder = folder


class DeployNeeded(OpentrError):
    """Production's images change by a deploy alone."""

    exit_code = ExitCode.REFUSED

    def __init__(self) -> None:
        super().__init__(
            "prod runs the release that was deployed; its images aren't replaced by hand",
            "type ./opentr.sh deploy prod",
        )


class ServiceUnknown(OpentrError):
    """A service that this environment doesn't have."""

    exit_code = ExitCode.USAGE

    def __init__(self, service: str, nearest: str | None, known: Sequence[str]) -> None:
        guess = f"; did you mean {nearest}?" if nearest else ""
        super().__init__(f"no such service {service}{guess}", f"there are: {', '.join(known)}")
        self.service = service
        self.nearest = nearest


class PoolAbsent(OpentrError):
    """The pool was named, and the environment has none in the runtime that it runs in."""

    exit_code = ExitCode.USAGE

    def __init__(self, runtime: str, known: Sequence[str]) -> None:
        super().__init__(
            f"there is no pool among {runtime}: the app connects to Postgres directly",
            f"leave pgbouncer out; there are: {', '.join(known)}",
        )


class NothingRunning(OpentrError):
    """Nothing of the environment runs, and the command needs it."""

    def __init__(self, project: str, environment: str) -> None:
        super().__init__(f"nothing of {project} is running", f"type ./opentr.sh start {environment}")
        self.project = project


class PoolNotPaused(OpentrError):
    """The pool could not be paused within its deadline; it goes on as before. `sessions` describes who held it up."""

    def __init__(self, seconds: float, sessions: Sequence[str], pids: Sequence[int], said: str) -> None:
        who = "".join(f"\n    {session}" for session in sessions) or f" {said.strip()}"
        super().__init__(
            f"the pool could not be paused within {seconds:g} s, because of:{who}",
            "wait for its end, or restart the service that holds it, as in: ./opentr.sh restart worker",
        )
        self.sessions = sessions
        self.pids = pids


class BrokerRefused(OpentrError):
    """Redis answered a command with an error."""

    def __init__(self, said: str) -> None:
        super().__init__(f"Redis refused: {said}", "read its log: ./opentr.sh logs redis")
        self.said = said


class LogQueryInvalid(OpentrError):
    """What was asked of the logs can't be understood; `hint` shows how it is written."""

    exit_code = ExitCode.USAGE


class NothingLogged(OpentrError):
    """No container (or process) is there, not even a stopped one, that could have written a log."""

    def __init__(self, project: str, environment: str, services: Sequence[str], kind: str = "container") -> None:
        whose = f" of {', '.join(services)}" if services else ""
        super().__init__(
            f"{project} has no {kind}{whose}, so there is no log", f"start it: ./opentr.sh start {environment}"
        )
        self.services = services
