"""Services in containers, by Docker Compose: changes through its command, questions straight to the engine."""

from __future__ import annotations

import secrets
import sys
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import IO, TYPE_CHECKING, Literal

from opentr import process, ui
from opentr.containers import CHECKOUT_LABEL, HASH_LABEL, ONEOFF_LABEL, STATE_LABEL, VERSION_LABEL
from opentr.errors import ProcessFailed
from opentr.errors.engine import NetworksExhausted
from opentr.errors.services import PortTaken, ServiceNotRunning, ServiceUnhealthy
from opentr.places import Places
from opentr.runtimes import containerthings, lifetime, merged, ports
from opentr.runtimes.argv import Project
from opentr.runtimes.base import APP, INFRA, Owner, ServiceState
from opentr.runtimes.docker_command import compose_command
from opentr.runtimes.room import disk_full, is_full
from opentr.runtimes.watch import Watch, ready, with_needs
from opentr.settings import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from opentr.containers import Container, Engine
    from opentr.runtimes.base import LogLine, LogQuery, Things
    from opentr.settings import Settings
    from opentr.state import State

LOG_LINES = 15
"""How many of the last lines of a service's log are told when it fails."""
RELEASE_FILE = "docker-compose.yml"
"""The Compose file of the release that is deployed, in the state; without, the checkout's is used."""
_LOOK_SECONDS = 0.2
_ORPHAN_SECONDS = 60.0
"""It stops containers, each with its grace period, and starts others; then it is ended."""
_CHANGING = ("up", "stop", "restart", "down")
"""Compose's commands that change the services."""


@dataclass(frozen=True)
class Compose:
    """The environment's services on a Docker engine."""

    settings: Settings
    state: State
    engine: Engine
    reason: str
    name: str = "compose"
    place: str = "."
    """the folder of the state that holds the Compose file and its variables"""

    @property
    def defined(self) -> tuple[str, ...]:
        """See Runtime."""
        return (*INFRA, *APP[self.settings.environment])

    @property
    def places(self) -> Places:
        """See Runtime. The same in every container."""
        return Places()

    def shown(self, verb: Literal["up", "stop"], services: Sequence[str]) -> str:
        """See Runtime."""
        return f"docker compose {'up --detach' if verb == 'up' else 'stop'} {' '.join(services)}"

    def things(self, *, kept: Collection[str] = (), sizes: bool = True) -> Things:
        """See Runtime."""
        return containerthings.things(self.settings, self.state, self.engine, kept=kept, sizes=sizes)

    # What is changed: Compose's command.

    def up(self, services: Sequence[str] = ()) -> None:
        """See Runtime."""
        wanted = tuple(services) or self.defined
        self.drop_leftovers()
        self._change(self._project.up(wanted), wanted)

    def stop(self, services: Sequence[str] = ()) -> None:
        """See Runtime."""
        self.drop_leftovers()
        process.run(self._project.stop(tuple(services)))

    def restart(self, services: Sequence[str]) -> None:
        """See Runtime."""
        self._change(self._project.restart(services), services)

    def down(self, *, volumes: bool = False) -> None:
        """See Runtime."""
        self.drop_leftovers()
        process.run(self._project.down(volumes=volumes))

    def await_orphans(self) -> None:
        """See Runtime. Two Compose commands at once trip over one another's containers."""
        ours = ("compose", "--project-name", self.settings.project)
        for pid in [pid for verb in _CHANGING for pid in process.others(ours, ("quiet", verb))]:
            with ui.step("wait for what a command that was killed is still doing"):
                process.end(pid, _ORPHAN_SECONDS)
        for each in self._containers():
            if each.state == "created":  # half-made, under a name of its own perhaps, over which the next `up` trips
                self.engine.remove_container(each.id)

    def drop_leftovers(self) -> None:
        """See Runtime."""
        for each in self.engine.containers(self.settings.project):
            owner = each.labels.get(ONEOFF_LABEL)
            if owner and lifetime.is_over(owner):
                self.engine.remove_container(each.id)

    # What is asked: the engine.

    def owners(self) -> list[Owner]:
        """See Runtime."""
        project = self.settings.project
        labelled = [each.labels for each in self.engine.containers(project)]
        labelled += [each.labels for each in self.engine.volumes(project)]
        found = {Owner(labels.get(STATE_LABEL, ""), labels.get(CHECKOUT_LABEL, "")) for labels in labelled}
        return sorted(found, key=lambda owner: (owner.state_id, owner.checkout))

    def volumes(self) -> tuple[str, ...]:
        """See Runtime."""
        return tuple(sorted(each.short for each in self.engine.volumes(self.settings.project)))

    def services(self) -> list[ServiceState]:
        """See Runtime. Of several containers of a service the worst is told."""
        found: dict[str, list[Container]] = {}
        for each in self._containers():
            found.setdefault(each.service, []).append(each)
        return [_service_state(name, found.get(name, [])) for name in self.defined]

    def outdated(self) -> list[str]:
        """See Runtime. Compose labels a container with the hash of what it was made from."""
        described = dict(line.split() for line in process.run(self._project.hashes()).splitlines())
        made = {each.service: each.labels.get(HASH_LABEL) for each in self._containers()}
        return [name for name in self.defined if name in described and made.get(name) != described[name]]

    def logs(self, query: LogQuery) -> Iterator[LogLine]:
        """See Runtime."""
        return merged.lines(self.engine, self.settings.project, query)

    def address(self, service: str, port: int) -> str | None:
        """See Runtime."""
        found = self.engine.containers(self.settings.project, service=service)
        return next((each.ports[port] for each in found if not each.oneoff and port in each.ports), None)

    def within(self, service: str, port: int) -> str:
        """See Runtime. The networks' name server knows the services."""
        return f"{service}:{port}"

    # What is run.

    def run_in(self, service: str, argv: Sequence[str], *, stdin: str = "", deadline: float | None = None) -> str:
        """See Runtime."""
        return process.run(self._exec(service, argv), stdin=stdin, deadline=deadline)

    def stream(
        self, service: str, argv: Sequence[str], *, source: IO[bytes] | None = None, target: IO[bytes] | None = None
    ) -> None:
        """See Runtime."""
        process.piped(self._exec(service, argv), source=source, target=target)

    def attach_to(self, service: str, argv: Sequence[str]) -> int:
        """See Runtime."""
        return process.attached(self._exec(service, argv, tty=_on_terminal()))

    @contextmanager
    def held(self, service: str, argv: Sequence[str]) -> Iterator[str]:
        """See Runtime."""
        with process.held(self._exec(service, argv)) as line:
            yield line

    def run_once(
        self, service: str, argv: Sequence[str], *, stdin: str = "", environment: Mapping[str, str] | None = None
    ) -> str:
        """See Runtime."""
        with self._once(service, argv, environment or {}, tty=False) as command:
            return process.run(command, stdin=stdin)

    def attach_once(self, service: str, argv: Sequence[str], *, environment: Mapping[str, str] | None = None) -> int:
        """See Runtime."""
        with self._once(service, argv, environment or {}, tty=_on_terminal()) as command:
            return process.attached(command)

    @contextmanager
    def follow_once(
        self, service: str, argv: Sequence[str], *, environment: Mapping[str, str] | None = None
    ) -> Iterator[Iterator[str]]:
        """See Runtime."""
        with self._once(service, argv, environment or {}, tty=False) as command, process.lines(command) as lines:
            yield lines

    def beside(self, place: str) -> Compose:
        """See Runtime."""
        return replace(self, place=place)

    # How.

    @cached_property
    def _project(self) -> Project:
        docker = (compose_command(self.state), *self.engine.cli_options)
        folder = self.state.folder / self.place
        released = folder / RELEASE_FILE
        file = released if released.exists() else CHECKOUT / f"docker-compose.{self.settings.environment}.yml"
        return Project(docker, self.settings.project, CHECKOUT, file, folder / "compose.env")

    def _containers(self) -> list[Container]:
        """The services' containers, without those that were made for one command."""
        return [each for each in self.engine.containers(self.settings.project) if not each.oneoff]

    def _running(self, service: str) -> Container:
        """A container of the service that runs. Raises ServiceNotRunning."""
        for each in self.engine.containers(self.settings.project, service=service):
            if each.state == "running" and not each.oneoff:
                return each
        raise ServiceNotRunning(service, self.settings.environment)

    def _exec(self, service: str, argv: Sequence[str], *, tty: bool = False) -> list[str]:
        return self._project.exec(self._running(service).id, argv, tty=tty)

    def _change(self, command: Sequence[str], services: Sequence[str]) -> None:
        """Run a Compose command that starts services, and wait until these are healthy. Raises as `up`."""
        watch = Watch(self._containers())
        try:
            with process.beside(command) as compose:
                while not compose.ended(_LOOK_SECONDS):
                    self._look(watch, services)
        except ProcessFailed as error:
            self._refuse(error)
            watch.settle(())
            self._look(watch, services)
            raise
        watch.settle(self._containers())
        while waiting := self._look(watch, services):
            self._refuse_removed(waiting)
            time.sleep(_LOOK_SECONDS)

    def _look(self, watch: Watch, services: Sequence[str]) -> list[str]:
        """The services that aren't ready yet; shows them as progress. Raises ServiceUnhealthy for one that failed."""
        containers = self._containers()
        concerned = with_needs(services, containers)
        # What was never started is so because of another.
        for each in sorted(containers, key=lambda each: each.state == "created"):
            if each.service in concerned and (reason := watch.failure(each)):
                raise ServiceUnhealthy(each.service, reason, self._last_lines(each), self.settings.environment)
        up = {each.service for each in containers} - {each.service for each in containers if not ready(each)}
        waiting = [name for name in services if name not in up]
        ui.show(f"waiting for {', '.join(waiting)}" if waiting else "")
        return waiting

    def _refuse_removed(self, waiting: Sequence[str]) -> None:
        """Raises ServiceUnhealthy for a service without a container, after Compose has made them all."""
        for name in set(waiting) - {each.service for each in self._containers()}:
            raise ServiceUnhealthy(
                name, "has no container any more: somebody removed it", (), self.settings.environment
            )

    def _last_lines(self, container: Container) -> list[str]:
        with closing(self.engine.logs(container.id, tail=LOG_LINES)) as frames:
            return [frame.text for frame in frames]

    def _refuse(self, error: ProcessFailed) -> None:
        """Raises PortTaken, DiskFull or NetworksExhausted if that is what Compose has said."""
        if port := ports.taken(error.stderr):
            service = self._of_port(port)
            raise PortTaken(service, port, f"OPENTR_{service.upper()}_PORT", ports.holder(port)) from error
        if is_full(error.stderr):
            raise disk_full("starting the services", self.engine) from error
        if "non-overlapping IPv4 address pool" in error.stderr:
            raise NetworksExhausted from error

    def _of_port(self, port: int) -> str:
        """The service that is to be reached at this port of our machine."""
        tree = self.settings
        if tree.environment == "prod":
            return "proxy"
        ports = {tree.postgres.port: "postgres", tree.pgbouncer.port: "pgbouncer", tree.redis.port: "redis"}
        return ports.get(port, "api")

    @contextmanager
    def _once(
        self, service: str, argv: Sequence[str], environment: Mapping[str, str], *, tty: bool
    ) -> Iterator[list[str]]:
        """The command that runs a program in a container of its own, which is gone when the block is left."""
        self.drop_leftovers()
        name = f"{self.settings.project}-{service}-{secrets.token_hex(4)}"
        owner = lifetime.own()
        try:
            yield self._project.run(service, argv, name=name, owner=owner, environment=environment, tty=tty)
        finally:
            self.engine.remove_container(name)


def _service_state(name: str, containers: Sequence[Container]) -> ServiceState:
    """The state of the container that fares worst; addresses of all."""
    if not containers:
        return ServiceState(name, "missing")
    worst = min(containers, key=lambda each: (each.state == "running", ready(each)))
    return ServiceState(
        service=name,
        state=worst.state,
        health=worst.health,
        image=worst.image,
        version=worst.labels.get(VERSION_LABEL),
        since=worst.started,
        restarts=worst.restarts,
        exit_code=worst.exit_code if worst.state in {"exited", "dead", "restarting"} else None,
        addresses=tuple(dict.fromkeys(address for each in containers for address in each.ports.values())),
    )


def _on_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()
