"""supervisord, which keeps the services running: its configuration, its start, and what it is asked.

One for each environment, started by the first service and shut down after the last. It is asked over a socket in a
private folder (XML-RPC, https://supervisord.org/api.html), and found again by process id and start time.
"""

from __future__ import annotations

import http.client
import json
import shlex
import socket
import time
import xmlrpc.client
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opentr import process
from opentr.errors import ProcessFailed
from opentr.errors.embedded import SupervisorRefused
from opentr.runtimes import launch
from opentr.runtimes.programs import STOP

if TYPE_CHECKING:
    from pathlib import Path

CONFIGURATION, LOG, SOCKET, LAUNCHER, RECORD = (
    "supervisord.conf",
    "supervisord.log",
    "supervisord.sock",
    "launch",
    "supervisord.json",
)
_WITHOUT_ANSWER = (OSError, http.client.HTTPException)
_AT_REST = frozenset({"STOPPED", "FATAL", "UNKNOWN"})
"""States that go on until somebody starts the service; one that has EXITED is started again in a moment."""
_FAULT_NOT_RUNNING = 70
_FAULT_ALREADY_STARTED = 60
_PATIENCE_SECONDS = 15.0
_MOMENT_SECONDS = 1.0
_ANSWER_SECONDS = 120.0
"""The longest that it may be silent: it answers when a service has ended, or was killed after its grace period."""
_LOOK_SECONDS = 0.05
# Relative names: supervisord stays in the folder that it was started in, whatever characters its path has.
_TEMPLATE = """\
[supervisord]
logfile=supervisord.log
logfile_maxbytes=1MB
logfile_backups=1
pidfile=supervisord.pid
childlogdir=.
umask=077
{user}
[unix_http_server]
file=supervisord.sock
chmod=0600

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""
_PROGRAM = """
[program:{service}]
command=./launch {service}
autostart=false
autorestart=true
startsecs=1
startretries=3
stopsignal={signal}
stopwaitsecs={seconds}
killasgroup=true
redirect_stderr=true
stdout_logfile={service}.launch.log
stdout_logfile_maxbytes=100KB
stdout_logfile_backups=0
"""


@dataclass(frozen=True)
class Told:
    """What supervisord says of a service."""

    state: str
    """STOPPED, STARTING, RUNNING, BACKOFF, STOPPING, EXITED, FATAL, UNKNOWN"""
    pid: int
    """0: none"""
    since: int
    """when it was started, in seconds since 1970"""
    exit_code: int


_NOTHING = Told("STOPPED", pid=0, since=0, exit_code=0)


@dataclass(frozen=True)
class Supervisor:
    """The supervisord of one environment; `folder` is where it runs."""

    folder: Path
    python: str
    """with the package supervisor"""
    as_root: bool

    @property
    def log(self) -> Path:
        """What it says itself."""
        return self.folder / LOG

    def is_up(self) -> bool:
        """Whether it runs: the process that we have written down, not a later one of the same id."""
        found = self._record()
        return bool(found) and process.started(found["pid"]) == found["started"] is not None

    def is_current(self) -> bool:
        """Whether it was started as it would be now: by this environment's Python, which may have replaced another."""
        found = self._record()
        return (found.get("configuration"), found.get("python")) == (self._configuration(), self.python)

    def start(self) -> None:
        """Start it; it has no service yet. Raises SupervisorRefused."""
        (self.folder / CONFIGURATION).write_text(self._configuration(), encoding="utf-8")
        launcher = self.folder / LAUNCHER
        launcher.write_text(f'#!/bin/sh\nexec {shlex.join([self.python, "-I", "-S", launch.__file__])} "$@"\n')
        launcher.chmod(0o700)
        command = [self.python, "-I", "-m", "supervisor.supervisord", "--configuration", CONFIGURATION]
        try:
            process.run(["sh", "-c", 'cd "$0" && exec "$@"', str(self.folder), *command])
        except ProcessFailed as failure:
            raise SupervisorRefused(failure.stderr.strip() or failure.what, self.log) from failure
        pid = self.call("getPID")
        record = {"pid": pid, "started": process.started(pid), "python": self.python, "folder": str(self.folder)}
        new = self.folder / f"{RECORD}.new"
        new.write_text(json.dumps(record | {"configuration": self._configuration()}), encoding="utf-8")
        new.rename(self.folder / RECORD)

    def shut_down(self) -> None:
        """End it, and with it every service that still runs. Raises SupervisorRefused."""
        if found := self._record():
            if self.is_up():
                self.call("shutdown")
                process.end(found["pid"], _PATIENCE_SECONDS)
            (self.folder / RECORD).unlink(missing_ok=True)

    def told(self) -> dict[str, Told]:
        """Every service; none where it doesn't run."""
        try:
            found: list[dict[str, Any]] = self.call("getAllProcessInfo") if self.is_up() else []
        except SupervisorRefused:
            if not self._has_ended():
                raise
            found = []
        return {each["name"]: Told(each["statename"], each["pid"], each["start"], each["exitstatus"]) for each in found}

    def begin(self, service: str) -> None:
        """Start a service, and don't wait for it. Raises SupervisorRefused."""
        wait = False
        self.call("startProcess", service, wait, ignored=_FAULT_ALREADY_STARTED)

    def end(self, service: str) -> None:
        """Stop a service and wait for its end: by its signal, after its grace period by SIGKILL."""
        wait = True
        while self.told().get(service, _NOTHING).state not in _AT_REST:
            self.call("stopProcess", service, wait, ignored=_FAULT_NOT_RUNNING)  # so it calls EXITED and STOPPING, too
            time.sleep(_LOOK_SECONDS)

    def call(self, method: str, *words: object, ignored: int | None = None) -> Any:  # noqa: ANN401 - as XML-RPC has it
        """Ask it; a fault of the number `ignored` is none. Raises SupervisorRefused."""
        try:
            with xmlrpc.client.ServerProxy("http://supervisord", transport=_Transport(self.folder / SOCKET)) as server:
                return getattr(server.supervisor, method)(*words)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode == ignored:
                return None
            raise SupervisorRefused(fault.faultString, self.log) from fault
        except _WITHOUT_ANSWER as error:
            raise SupervisorRefused(f"no answer to {method}: {error}", self.log) from error

    def _has_ended(self) -> bool:
        """Whether it was just ending: then it answers no more, and is there for a moment."""
        until = time.monotonic() + _MOMENT_SECONDS
        while self.is_up() and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)
        return not self.is_up()

    def _configuration(self) -> str:
        head = _TEMPLATE.format(user="user=root\n" if self.as_root else "")
        return head + "".join(
            _PROGRAM.format(service=service, signal=signal, seconds=seconds)
            for service, (signal, seconds) in STOP.items()
        )

    def _record(self) -> dict[str, Any]:
        """Who it is; where whoever started it was killed before that was written down, as it says itself."""
        with suppress(FileNotFoundError):
            found: dict[str, Any] = json.loads((self.folder / RECORD).read_text(encoding="utf-8"))
            return found if found["folder"] == str(self.folder) else {}  # else it is a copy of another one's
        if not (self.folder / SOCKET).exists():
            return {}
        with suppress(SupervisorRefused):
            pid = self.call("getPID")
            return {"pid": pid, "started": process.started(pid)}
        return {}


class _Connection(http.client.HTTPConnection):
    def __init__(self, place: Path) -> None:
        super().__init__("supervisord")
        self._place = place

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_ANSWER_SECONDS)
        self.sock.connect(str(self._place))


class _Transport(xmlrpc.client.Transport):
    """XML-RPC over a socket of the file system."""

    def __init__(self, place: Path) -> None:
        super().__init__()
        self._place = place

    def make_connection(self, host: Any) -> http.client.HTTPConnection:  # noqa: ANN401 - as in the base class
        made = self._connection[1] or _Connection(self._place)
        self._connection = host, made  # by which the base class closes it
        return made
