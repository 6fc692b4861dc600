"""What a runtime is: how the services of one environment run, and how to reach into them.

At the level of the environment, so that a later runtime (Swarm) can be another class of the same shape. One contract
test suite runs against every runtime.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from opentr.places import Places

INFRA = ("postgres", "pgbouncer", "redis")
APP = {"dev": ("api", "worker"), "prod": ("api", "worker", "proxy", "backup")}
"""The services that an environment keeps running, by profile, in the order of their start."""


@dataclass(frozen=True)
class ServiceState:
    """What is true of one service now."""

    service: str
    state: str
    """running, restarting, exited, created, paused, or missing"""
    health: str | None = None
    """healthy, unhealthy, starting; None where nothing is running"""
    image: str | None = None
    version: str | None = None
    """the release of the image"""
    since: datetime | None = None
    """when it was started, in UTC"""
    restarts: int = 0
    exit_code: int | None = None
    addresses: tuple[str, ...] = ()
    """host:port, as reached from this machine"""

    @property
    def healthy(self) -> bool:
        """Whether it does its work."""
        return self.state == "running" and self.health == "healthy"


@dataclass(frozen=True)
class LogLine:
    """One line that a service wrote."""

    service: str
    time: datetime
    """when the engine received it, in UTC"""
    text: str
    """without its line break"""


@dataclass(frozen=True)
class LogQuery:
    """Which lines are wanted."""

    services: tuple[str, ...] = ()
    """none: all"""
    since: datetime | None = None
    tail: int | None = None
    """the newest so many lines of each service; None: all"""
    follow: bool = False
    """go on with what comes, also when a service is restarted or made anew"""


@dataclass(frozen=True)
class Owner:
    """To whom containers and volumes belong: a state, and the checkout that it serves. Empty: they don't say."""

    state_id: str
    checkout: str


@dataclass(frozen=True)
class Thing:
    """Something that a runtime has made, and how it goes."""

    label: str
    """opentr-dev_postgres-data (40 MB)"""
    what: str
    """remove the volume opentr-dev_postgres-data (40 MB)"""
    how: str
    """docker volume rm opentr-dev_postgres-data"""
    remove: Callable[[], None]


@dataclass(frozen=True)
class Things:
    """All that a runtime has made for an environment, each in the order in which it goes."""

    services: tuple[Thing, ...] = ()
    """containers and networks, or processes: `up` makes them again"""
    data: tuple[Thing, ...] = ()
    """what can't be made again"""
    builds: tuple[Thing, ...] = ()
    """images"""
    leftovers: tuple[Thing, ...] = ()
    """what was made for one command, and that command was killed"""
    unused: tuple[Thing, ...] = ()
    """of the builds, those that nothing needs any more"""


class Runtime(Protocol):
    """The services of one environment. Every method asks what is true now; nothing is remembered.

    Services are named as in the Compose files: postgres, pgbouncer, redis, api, worker, proxy, backup; for one-offs
    migrate, proof, restore.
    """

    @property
    def name(self) -> str:
        """compose, embedded."""

    @property
    def reason(self) -> str:
        """Why this one was chosen, in words: Docker 26.1.5 at /var/run/docker.sock."""

    @property
    def defined(self) -> tuple[str, ...]:
        """The services that this environment has in this runtime, in the order of their start."""

    @property
    def places(self) -> Places:
        """Where the services' files and ports are, as their configuration has to say it."""

    def shown(self, verb: Literal["up", "stop"], services: Sequence[str]) -> str:
        """What starting or stopping these services does, as one would type it, for `--plan`."""

    def things(self, *, kept: Collection[str] = (), sizes: bool = True) -> Things:
        """All that was made for this environment. `kept` are builds that are needed though no service uses them now.

        Sizes of data are told if they are asked for, which may take a while.
        """

    def up(self, services: Sequence[str] = ()) -> None:
        """Make or start these services (default: those of the chosen profiles) and wait until each is healthy.

        What is up already and unchanged is left alone; what has changed (image, settings, rendered files) is replaced.
        Raises ServiceUnhealthy with the last lines of its log, PortTaken, DiskFull, ProcessFailed.
        """

    def stop(self, services: Sequence[str] = ()) -> None:
        """Stop these services, all by default, each with its own signal and grace period; nothing is removed."""

    def restart(self, services: Sequence[str]) -> None:
        """Stop and start these services and wait until each is healthy. Raises as `up`."""

    def down(self, *, volumes: bool = False) -> None:
        """Remove the environment's containers and networks; with `volumes` its data too."""

    def owners(self) -> list[Owner]:
        """Whose containers and volumes carry this environment's name: ours alone, or there is another clone."""

    def volumes(self) -> tuple[str, ...]:
        """The names, as in the Compose files, of the volumes that exist, sorted."""

    def services(self) -> list[ServiceState]:
        """The state of each service that this environment defines, in a fixed order, missing ones too."""

    def outdated(self) -> list[str]:
        """The services that have no container which is exactly as the files describe it: `up` would make a new one.

        Raises ProcessFailed where the files can't be understood, a variable that they need is missing for instance.
        """

    def await_orphans(self) -> None:
        """Wait for what the command of a tool that was killed is still doing to the services; after a while end it.

        Containers that it has made and not started yet are removed: the next `up` makes them anew.
        Only the holder of the state's lock may ask for this: whatever else changes the services is an orphan then.
        """

    def drop_leftovers(self) -> None:
        """Remove the containers that were made for one command whose tool was killed: they would run on unseen."""

    def logs(self, query: LogQuery) -> Iterator[LogLine]:
        """The lines of the services, oldest first, all services merged by time."""

    def address(self, service: str, port: int) -> str | None:
        """`host:port` at which this machine reaches a port of a service; None if it isn't published or not running."""

    def within(self, service: str, port: int) -> str:
        """`host:port` at which the environment's own services, and one-offs, reach this port of a service."""

    def run_in(self, service: str, argv: Sequence[str], *, stdin: str = "", deadline: float | None = None) -> str:
        """Run a program in a running service; return its stdout.

        After `deadline` seconds we stop waiting for it; it sees the end of its stdin, and may run on. Raises
        ServiceNotRunning, ProcessFailed, ProcessTimedOut.
        """

    def stream(
        self, service: str, argv: Sequence[str], *, source: IO[bytes] | None = None, target: IO[bytes] | None = None
    ) -> None:
        """Run a program in a running service with its stdin from one open file and its stdout into another.

        Raises ServiceNotRunning, ProcessFailed.
        """

    def attach_to(self, service: str, argv: Sequence[str]) -> int:
        """Run a program in a running service on our own terminal; return its exit code. Raises ServiceNotRunning."""

    def held(self, service: str, argv: Sequence[str]) -> AbstractContextManager[str]:
        """Run a program in a running service for as long as the block lasts; gives the first line that it writes.

        Its standard input stays open meanwhile and is closed at the end, also when we are killed: so it knows. Leaving
        the block waits for its end. Raises ServiceNotRunning, ProcessFailed.
        """

    def run_once(
        self, service: str, argv: Sequence[str], *, stdin: str = "", environment: Mapping[str, str] | None = None
    ) -> str:
        """Run a program in a new container of this service, with its network and secrets, remove the container; stdout.

        `environment` is added to the service's own, and is no place for secrets. Raises ProcessFailed.
        """

    def attach_once(self, service: str, argv: Sequence[str], *, environment: Mapping[str, str] | None = None) -> int:
        """As `run_once`, on our own terminal; returns the exit code."""

    def follow_once(
        self, service: str, argv: Sequence[str], *, environment: Mapping[str, str] | None = None
    ) -> AbstractContextManager[Iterator[str]]:
        """As `run_once`, giving stdout and stderr as one, line by line as they are written.

        Leaving the block early ends the program; raises ProcessFailed without a word of stderr: the caller has seen it.
        """

    def beside(self, place: str) -> Runtime:
        """The same environment as a release that isn't live describes it: by the files in this folder of the state.

        For one-offs with that release's images; its services aren't started or replaced by this.
        """
