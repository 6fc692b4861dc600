"""Environments of local processes for tests: as tests.stacks has them in containers, and no engine is asked.

Each is a project of its own, on free ports, with its state in a temporary folder. What belongs to it is found by its
state's random id, and by the folder that its processes were started in.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2

from opentr.process import started
from tests.stacks import CHECKOUT, new_project, variables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.stacks import Said

SERVICES = ("postgres", "redis", "api", "worker")
ROOTS_FOLDER = Path("/var/lib/opentr-processes")
NO_ENGINE = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}
LIVE = "opentranscribe"
OURS = {LIVE, f"{LIVE}_previous"}
_PATIENCE_SECONDS = 60
_MOMENT_SECONDS = 5
_LOOK_SECONDS = 0.01


@dataclass
class Processes:
    """A project of a test. Called with words it runs `./opentr.sh` with them."""

    folder: Path
    checkout: Path = CHECKOUT
    project: str = field(default_factory=new_project)
    settings: dict[str, str] = field(default_factory=dict)
    before: tuple[str, ...] = ()
    """words before the command, which make it another user's"""
    user: dict[str, str] | None = None
    """that user's variables"""

    @property
    def state(self) -> Path:
        """The state's folder."""
        return self.folder / self.project

    @property
    def home(self) -> Path:
        """The folder with what the runtime has."""
        if os.geteuid() or self.before:
            return self.state.resolve() / "processes"
        return ROOTS_FOLDER / f"{self.project}-{self.id[:8]}"

    @property
    def run(self) -> Path:
        """The folder with records and sockets, which is elsewhere where `home` lies too deep for these."""
        far = self.state / "sockets.json"
        return Path(json.loads(far.read_text())["folder"]) if far.exists() else self.home / "run"

    @property
    def id(self) -> str:
        """The state's."""
        return (self.state / "id").read_text().strip()

    @property
    def mark(self) -> str:
        """What its processes carry."""
        return hashlib.sha256(os.fsencode(self.home)).hexdigest()[:16]

    @property
    def variables(self) -> dict[str, str]:
        """What the tool is started with: our variables without a user's settings, with this project's; no engine."""
        user = dict(os.environ) if self.user is None else self.user
        clean = {name: value for name, value in user.items() if not name.startswith(("OPENTR_", "COMPOSE_"))}
        return clean | NO_ENGINE | variables(self.folder, self.project) | self.settings

    @property
    def command(self) -> list[str]:
        """The tool's path, as the project's user calls it."""
        return [*self.before, str(self.checkout / "opentr.sh")]

    def __call__(self, *words: str, stdin: str = "", **settings: str) -> Said:
        given = self.variables | settings
        return subprocess.run(
            [*self.command, *words], env=given, input=stdin, capture_output=True, text=True, check=False
        )

    def done(self, *words: str, **settings: str) -> str:
        """Runs `./opentr.sh`, which must succeed; returns its stdout."""
        said = self(*words, **settings)
        assert said.returncode == 0, f"./opentr.sh {' '.join(words)}: {said.returncode}\n{said.stdout}\n{said.stderr}"
        return said.stdout

    def json(self, *words: str) -> dict[str, Any]:
        """What it prints with --json, which must succeed."""
        found: dict[str, Any] = json.loads(self.done(*words, "--json"))
        return found

    @contextmanager
    def running(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """The tool at work beside the block, begun by its own log; killed at the block's end if it still is."""
        before = self.log().count(" begin: ")
        nothing = subprocess.DEVNULL
        with subprocess.Popen([*self.command, *words], env=self.variables, stdout=nothing, stderr=nothing) as process:
            try:
                wait_until(lambda: self.log().count(" begin: ") > before or process.poll() is not None)
                yield process
            finally:
                process.kill()

    def log(self) -> str:
        """The tool's own."""
        place = self.state / "opentr.log"
        return place.read_text() if place.exists() else ""

    def password(self, name: str) -> str:
        """A secret of the state's."""
        return (self.state / "secrets" / f"{name}_password").read_text().strip()

    def ports(self) -> dict[str, int]:
        """Each service's port."""
        found: dict[str, int] = json.loads((self.state / "ports.json").read_text())["ports"]
        return found

    def pids(self) -> dict[str, int]:
        """The process of each service that runs."""
        found = {name: self._record(f"{name}.json") for name in SERVICES}
        return {name: each["pid"] for name, each in found.items() if each and started(each["pid"]) == each["started"]}

    def supervisor(self) -> int:
        """The process that keeps the services."""
        found = self._record("supervisord.json")
        assert found
        pid: int = found["pid"]
        return pid

    def _record(self, name: str) -> dict[str, Any] | None:
        place = self.run / name
        return json.loads(place.read_text()) if place.exists() else None

    def connect(self, role: str = "app_rw", database: str = LIVE) -> psycopg2.extensions.connection:
        """As the application does."""
        port, secret = self.ports()["postgres"], self.password(role)
        return psycopg2.connect(
            host="127.0.0.1", port=port, user=role, password=secret, dbname=database, connect_timeout=10
        )

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Rows that the application gets; what it writes is on the disk."""
        with closing(self.connect()) as connection, connection, connection.cursor() as cursor:
            cursor.execute("SET synchronous_commit = on")
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def redis(self, line: str) -> str:
        """What Redis answers to the application."""
        said = self("exec", "redis", "--", "redis-cli", stdin=f"AUTH app {self.password('redis')}\n{line}\n")
        assert said.returncode == 0, said.stderr
        return said.stdout.split("\n")[1]

    @property
    def media(self) -> Path:
        """The folder of the live media files."""
        return self.home / "data" / "media" / "current"

    def processes(self) -> list[int]:
        """All that belongs to it, helpers too: by the marks in their variables and by where they were started."""
        if not (self.state / "id").exists():
            return []
        marks = [f"OPENTRANSCRIBE_{kind}={self.mark}/".encode() for kind in ("SERVICE", "COMMAND")]
        places = [str(place) for place in (self.home, self.run, self.state)]
        found = [int(place.name) for place in Path("/proc").glob("[0-9]*") if _belongs(place, marks, places)]
        return [pid for pid in found if pid != os.getpid()]

    def marked(self, kind: str, service: str = "") -> list[int]:
        """The processes of one service (kind SERVICE), or of commands (COMMAND): what they have started too."""
        mark = f"OPENTRANSCRIBE_{kind}={self.mark}/{service}".encode()
        return [int(place.name) for place in Path("/proc").glob("[0-9]*") if _belongs(place, [mark], [])]

    def left(self) -> list[str]:
        """The folders that are there."""
        folders = [self.state, *ROOTS_FOLDER.glob(f"{self.project}-*")]
        return [str(each) for each in folders if each.exists()]

    def remove(self) -> None:
        """Purges it. Whatever it leaves is ended and removed, and is a failure."""
        if not (self.state / "id").exists():
            return
        places = [str(self.home), str(self.run)]
        self.settings.clear()
        said = self("purge", "dev", "--confirm", "dev")
        running = _staying(places)
        for pid in running:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        left = self.left()
        assert (said.returncode, running, left) == (0, [], []), said.stderr


MakeProcesses = Callable[..., Processes]


def _staying(places: list[str]) -> list[int]:
    """The processes that were started there and don't end: what writes logs outlives its service by a moment."""
    deadline = time.monotonic() + _MOMENT_SECONDS
    while True:
        found = [int(place.name) for place in Path("/proc").glob("[0-9]*") if _belongs(place, [], places)]
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(_LOOK_SECONDS)


def _belongs(process: Path, marks: list[bytes], places: list[str]) -> bool:
    try:
        variables_of = (process / "environ").read_bytes().split(b"\0")
        folder = str((process / "cwd").readlink())
    except OSError:  # it has ended, or is another user's
        return False
    return any(each.startswith(tuple(marks)) for each in variables_of) or folder.startswith(tuple(places))


def wait_until(true: Callable[[], object], seconds: float = _PATIENCE_SECONDS) -> None:
    """Looks until it is so; fails after a minute, or this many seconds."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(_LOOK_SECONDS)


@contextmanager
def projects(folder: Callable[[], Path]) -> Iterator[MakeProcesses]:
    """Makes projects on which nothing runs yet, each in a new folder; they go with the block."""
    with ExitStack() as made:

        def make(checkout: Path = CHECKOUT, **settings: str) -> Processes:
            given = {f"OPENTR_{name}": value for name, value in settings.items()}
            project = Processes(folder(), checkout, settings=given)
            made.callback(project.remove)
            return project

        yield make


def databases(dev: Processes) -> set[str]:
    """The databases that are ours, without templates."""
    names = dev.done("psql", "-Atqc", "SELECT datname FROM pg_database WHERE datname LIKE 'opentranscribe%'").split()
    return {name for name in names if "_template_" not in name}


def works(dev: Processes) -> None:
    """Everything is healthy, nothing is half done, and of each service there is one."""
    wait_until(lambda: dev("health").returncode == 0)
    assert not (dev.state / "swap.json").exists()
    assert databases(dev) <= OURS
    assert {dev.supervisor(), *dev.pids().values()} <= set(dev.processes())
    assert dev.marked("COMMAND") == []


def gone(pids: list[int], at: dict[int, str | None]) -> bool:
    """Whether none of these processes is there any more."""
    return all(started(pid) != at[pid] or is_zombie(pid) for pid in pids)


def is_zombie(pid: int) -> bool:
    """Whether it has ended, though perhaps nobody has asked for its exit code yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def children(pid: int) -> list[int]:
    """The processes that it has started and that still run."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
