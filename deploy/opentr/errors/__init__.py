"""What can go wrong in the ops tool, as typed errors.

Each carries its data and words it twice: `what` says what happened, `hint` says what to type next. They are printed in
one place, at the edge of `opentr.cli`. The exit codes of the whole project:

    0 done                                  4 a check found a blocker, nothing was touched
    1 failed, nothing changed or undone     5 failed, an operator must act
    2 wrong usage                           130 interrupted
    3 refused, a confirmation is needed

    OpentrError
    ├── ProgramMissing, ProcessFailed, ProcessKilled, ProcessTimedOut
    ├── EngineMissing, EngineTooOld, EngineRefused, ComposeMissing, ComposeTooOld, BuildxMissing, RuntimeRefused
    ├── ServiceNotRunning, ServiceUnhealthy, PortTaken, NetworksExhausted, DiskFull, ImageUnknown, BuildFailed
    ├── SettingUnknown, SettingInvalid
    ├── StateUnwritable
    ├── StateForeign, StateUnknown, VolumeVanished, DatabaseVanished
    ├── DeployNeeded, ConfirmationNeeded, ServiceUnknown, PoolAbsent, NothingRunning, UndoFailed
    ├── LogQueryInvalid, NothingLogged
    └── PoolNotPaused, BrokerRefused, NoGenerationBefore, SchemaBroken, DatabaseNotEmpty, DumpFailed, NoRoom,
        PreviousUnsaved
"""

from __future__ import annotations

import signal
from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class ExitCode(IntEnum):
    """What the tool's exit codes mean (design §9)."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    BLOCKED = 4
    OPERATOR = 5
    INTERRUPTED = 130


class OpentrError(Exception):
    """Base of all: one line that says what happened, one that says what to type next."""

    exit_code: ClassVar[ExitCode] = ExitCode.FAILED

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


class ProgramMissing(OpentrError):
    """A program that we wanted to start isn't on this machine, or may not be run."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, program: str, reason: str) -> None:
        super().__init__(f"{program} can't be started: {reason}", f"install {program}, then try again")
        self.program = program


class ProcessFailed(OpentrError):
    """A program ended with another code than 0; `stderr` is what it said."""

    def __init__(self, command: str, code: int, stderr: str) -> None:
        said = stderr.strip() or "it said nothing"
        super().__init__(f"{command} ended with code {code}: {said}", "mend what it names, then try again")
        self.command = command
        self.code = code
        self.stderr = stderr


class ProcessKilled(OpentrError):
    """A program was ended by a signal that nobody here sent."""

    def __init__(self, command: str, number: int) -> None:
        name = signal.Signals(number).name
        hint = "look for 'Out of memory' in the kernel's log: sudo dmesg"
        super().__init__(
            f"{command} was killed by {name}", hint if number == signal.SIGKILL else "try again; if it stays, report it"
        )
        self.number = number


class SettingUnknown(OpentrError):
    """A setting that doesn't exist; `place` is the file and the line, None for a variable of the environment."""

    exit_code = ExitCode.USAGE

    def __init__(self, name: str, nearest: str | None, place: str | None = None) -> None:
        guess = f"; did you mean {nearest}?" if nearest else ""
        at = f"{place}: " if place else ""
        super().__init__(f"{at}no such setting {name}{guess}", "correct or unset it; .env.example lists what there is")
        self.name = name
        self.nearest = nearest


class SettingInvalid(OpentrError):
    """A setting whose value can't be used; `place` as in SettingUnknown."""

    exit_code = ExitCode.USAGE

    def __init__(self, name: str, reason: str, place: str | None = None) -> None:
        at = f"{place}: " if place else ""
        super().__init__(f"{at}the setting {name} can't be used: {reason}", f"correct or unset {name}")
        self.name = name


class EnvFileUnreadable(OpentrError):
    """A `.env` file that isn't one; `place` is the file, and the line if it is known."""

    exit_code = ExitCode.USAGE

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}", "correct the file; .env.example shows how it is written")
        self.place = place


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


class CredentialInvalid(OpentrError):
    """A secret in a file that can't be used. The words never hold the secret."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(f"{file}: {reason}", "correct it, or remove the file: a new one is made, and applied")
        self.file = file


class UndoFailed(OpentrError):
    """Something failed, and what had been done before it could not be undone."""

    exit_code = ExitCode.OPERATOR

    def __init__(self, cause: str, left: Sequence[tuple[str, str]]) -> None:
        undone = "; ".join(f"{what} ({reason})" for what, reason in left)
        super().__init__(f"{cause}; and this could not be undone: {undone}", "look at it: ./opentr.sh status")
        self.left = left


# Processes, the engine and the services that run on it.


class ProcessTimedOut(OpentrError):
    """A program took longer than it may; it was ended."""

    def __init__(self, command: str, seconds: float) -> None:
        super().__init__(f"{command} did not end within {seconds:g} s", "look at it: ./opentr.sh status")
        self.seconds = seconds


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


class NetworksExhausted(OpentrError):
    """The engine has no addresses left for a further network."""

    exit_code = ExitCode.BLOCKED

    def __init__(self) -> None:
        super().__init__(
            "the Docker engine has no addresses left for further networks",
            "remove those that nobody uses (docker network prune), or give it more: default-address-pools in "
            "/etc/docker/daemon.json",
        )


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


# The environment that a command works on


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


class DeployNeeded(OpentrError):
    """Production's images change by a deploy alone."""

    exit_code = ExitCode.REFUSED

    def __init__(self) -> None:
        super().__init__(
            "prod runs the release that was deployed; its images aren't replaced by hand",
            "type ./opentr.sh deploy prod",
        )


class ConfirmationNeeded(OpentrError):
    """Something that must be confirmed wasn't."""

    exit_code = ExitCode.REFUSED

    def __init__(self, deed: str, option: str) -> None:
        super().__init__(f"this would {deed}; it wasn't confirmed, and nothing was done", f"add {option} to go ahead")
        self.deed = deed


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


# Databases that are made, swapped, dumped and removed


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


class NoGenerationBefore(OpentrError):
    """There is nothing that --undo could bring back."""

    exit_code = ExitCode.BLOCKED

    def __init__(self) -> None:
        super().__init__("there is no generation before this one to go back to", "each reset keeps one, until the next")


class SchemaBroken(OpentrError):
    """Postgres refused a file of SQL that is to make the schema."""

    def __init__(self, file: str, line: int, said: str) -> None:
        super().__init__(f"{file}, line {line}: {said}", f"correct {file}, then try again; nothing was changed")
        self.file = file
        self.line = line


class DatabaseNotEmpty(OpentrError):
    """A schema was to be made where one is."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, database: str, environment: str) -> None:
        super().__init__(
            f"{database} has tables already; nothing was changed",
            f"to begin anew, type ./opentr.sh reset {environment}",
        )


class DumpFailed(OpentrError):
    """The database could not be dumped, or its dump didn't prove to be whole; nothing was changed."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"the database could not be saved: {reason}",
            "mend what it names; or go on with --without-dump: the old database stays beside the new one, undumped",
        )
        self.reason = reason


class NoRoom(OpentrError):
    """There is less free space than something will need; nothing was done yet."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, what: str, where: str, needed: str, free: str) -> None:
        super().__init__(f"{what} needs {needed} in {where}, and {free} are free", "make room there, then try again")


class PreviousUnsaved(OpentrError):
    """The generation before was never dumped, and a reset would drop it."""

    exit_code = ExitCode.BLOCKED

    def __init__(self, database: str) -> None:
        super().__init__(
            f"{database} holds data of which there is no dump, and this would drop it",
            f"look at it, then drop it: ./opentr.sh psql prod --write -d postgres -c 'DROP DATABASE {database}'",
        )


# Logs


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
