"""The door to other programs: nothing else in the tool starts one. Commands are argv lists, never shell text.

Programs whose output we take have a session of their own: Ctrl-C in the terminal reaches us alone, and we decide what
becomes of them. Our settings (OPENTR_*) and Compose's (COMPOSE_*) are not handed on: what a program is to know, its
caller says.
"""

from __future__ import annotations

import logging
import os
import re
import shlex
import signal
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from opentr.errors import ProcessFailed, ProcessKilled, ProcessTimedOut, ProgramMissing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

GRACE_SECONDS = 10.0
"""How long a program that we end may clean up before it is killed."""

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 0.1
_ENDED = ("Z", "X")
"""States of one that has ended and that its parent hasn't asked for yet (proc(5): field 3)."""
_STARTED = 19
"""The start time's place among the fields that follow the program's name."""
_PASSED_ON = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
_OURS = ("OPENTR_", "COMPOSE_")
_URL_PASSWORD = re.compile(r"(?<=://)([^:/@\s]*):\S*@")
_DSN_PASSWORD = re.compile(r"(password\s*=\s*)('[^']*'|\S+)", re.IGNORECASE)


def shown(argv: Sequence[str]) -> str:
    """Return the command as one would type it, passwords in addresses left out."""
    return shlex.join(_DSN_PASSWORD.sub(r"\1***", _URL_PASSWORD.sub(r"\1:***@", word)) for word in argv)


def programs(name: str) -> list[Path]:
    """Every program of this name on PATH, in PATH's order; the first is what a shell would start."""
    folders = dict.fromkeys(Path(folder or ".") for folder in os.environ.get("PATH", os.defpath).split(os.pathsep))
    found = (folder / name for folder in folders)
    return [place for place in found if place.is_file() and os.access(place, os.X_OK)]


def run(
    argv: Sequence[str],
    *,
    stdin: str = "",
    environment: Mapping[str, str] | None = None,
    deadline: float | None = None,
) -> str:
    """Run a program to its end and return what it wrote to stdout; `environment` is added to ours.

    On Ctrl-C, and after `deadline` seconds, the program is ended first. Raises ProcessFailed, with its stderr inside,
    if it ends with another code than 0, ProcessKilled if a signal ended it, ProcessTimedOut, and ProgramMissing if it
    can't be started.
    """
    pipe = subprocess.PIPE
    with _child(argv, environment, stdin=pipe, stdout=pipe, stderr=pipe) as child:
        try:
            said, complained = child.communicate(stdin, timeout=deadline)
        except subprocess.TimeoutExpired as error:
            raise ProcessTimedOut(shown(argv), error.timeout) from error
    _check(argv, child.returncode, complained)
    return said


def piped(
    argv: Sequence[str],
    *,
    source: IO[bytes] | None = None,
    target: IO[bytes] | None = None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run a program to its end, its stdin from one open file and its stdout into another, without a copy in between.

    Raises as `run`.
    """
    given, taken = source or subprocess.DEVNULL, target or subprocess.DEVNULL
    with _child(argv, environment, stdin=given, stdout=taken, stderr=subprocess.PIPE) as child:
        _, complained = child.communicate()
    _check(argv, child.returncode, complained)


def started(pid: int) -> str | None:
    """When a process of this machine started, in the kernel's own words; None if there is none of this id, or it ended.

    A later process that gets the same id has another one (proc(5): field 22 of /proc/PID/stat).
    """
    try:
        line = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = line.rpartition(")")[2].split()
    return None if fields[0] in _ENDED else fields[_STARTED]


def others(*words: Sequence[str]) -> list[int]:
    """The processes of this machine, not started by us, that have these words after one another in their command.

    Of several such sequences each must be in it, wherever.
    """
    wanted, found = ["\0".join(["", *each, ""]) for each in words], []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            command = f"\0{(place / 'cmdline').read_text(encoding='utf-8', errors='replace')}\0"
            parent = int((place / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it has ended, or is another user's
        if all(each in command for each in wanted) and parent != os.getpid():
            found.append(int(place.name))
    return sorted(found)


def marked(mark: str) -> list[tuple[int, str]]:
    """The processes of this machine, us left out, whose environment began with a variable that starts like this.

    Each with the whole of that variable, NAME=value. What a program has done to its own environment doesn't show
    (proc(5), /proc/PID/environ), what it handed on to others does.
    """
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            variables = (place / "environ").read_text(encoding="utf-8", errors="replace").split("\0")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it has ended, or is another user's
        found += [(int(place.name), each) for each in variables if each.startswith(mark)]
    return sorted(each for each in found if each[0] != os.getpid())


def end(pid: int, patience: float) -> None:
    """Wait for the end of a process that isn't our child; after `patience` seconds end it."""
    since, until = started(pid), time.monotonic() + patience
    for number in (None, signal.SIGTERM, signal.SIGKILL):
        if number is not None and started(pid) == since is not None:
            os.kill(pid, number)
            until = time.monotonic() + GRACE_SECONDS
        while started(pid) == since is not None and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)


class Running:
    """A program that goes on while we do something else."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self._child = child

    def ended(self, within: float) -> bool:
        """Whether it has ended; waits for that so many seconds at most."""
        try:
            self._child.wait(within)
        except subprocess.TimeoutExpired:
            return False
        return True


@contextmanager
def beside(argv: Sequence[str]) -> Iterator[Running]:
    """Run a program beside the block, then wait for its end. An error in the block ends the program.

    Raises as `run`.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as complaints:
        none = subprocess.DEVNULL
        with _child(argv, None, stdin=none, stdout=none, stderr=complaints) as child:
            yield Running(child)
            child.wait()
        complaints.seek(0)
        _check(argv, child.returncode, complaints.read())


@contextmanager
def held(argv: Sequence[str], *, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run a program for as long as the block lasts; gives the first line that it writes, without its line break.

    Its stdin stays open meanwhile and is closed at the end, by the kernel if we are killed. Leaving the block waits for
    the program's end. Raises ProcessFailed, ProcessKilled, also if it ends before it has written a line; an error from
    within the block goes first.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as complaints:
        with _child(argv, environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaints) as child:
            assert child.stdout is not None  # noqa: S101 - for mypy: it is a pipe
            try:
                line = child.stdout.readline()
                if line:
                    yield line.removesuffix("\n")
            finally:
                child.communicate()  # closes its stdin, then waits
        complaints.seek(0)
        _check(argv, child.returncode, complaints.read())
        if not line:
            raise ProcessFailed(shown(argv), child.returncode, "it ended without a line")


@contextmanager
def lines(
    argv: Sequence[str], *, stdin: IO[bytes] | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[Iterator[str]]:
    """Run a program and give its output, stdout and stderr as one, line by line as it is written.

    Leaving the block before the last line ends the program. Raises ProcessFailed without a word of stderr (the caller
    has seen it), ProcessKilled, ProgramMissing.
    """
    given = stdin if stdin is not None else subprocess.DEVNULL
    with _child(argv, environment, stdin=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as child:
        assert child.stdout is not None  # noqa: S101 - for mypy: it is a pipe
        yield (line.removesuffix("\n") for line in child.stdout)
        child.wait()
    _check(argv, child.returncode, "")


def attached(argv: Sequence[str], *, environment: Mapping[str, str] | None = None) -> int:
    """Run a program on our own terminal, input and output, wait for its end and return its exit code.

    Signals that reach us alone are passed on; Ctrl-C, which the terminal sends to the program as well, isn't sent
    twice: it would cut short the program's own cleaning up. Ended by one of these signals its code is 128 + number.

    Raises ProcessKilled if any other signal ended it, and ProgramMissing if it can't be started.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON | {signal.SIGCHLD})
    try:
        pid = _spawn(argv, before, _environment() | dict(environment or {}))
        return _exit_code(argv, _wait(pid))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _child(
    argv: Sequence[str],
    environment: Mapping[str, str] | None,
    *,
    stdin: int | IO[bytes],
    stdout: int | IO[bytes],
    stderr: int | IO[str],
) -> Iterator[subprocess.Popen[str]]:
    """Start a program; whatever error leaves the block ends it first, Ctrl-C included. Raises ProgramMissing."""
    _log.debug("%s", shown(argv))
    child: subprocess.Popen[str] | None = None
    given = _environment() | dict(environment or {})
    try:
        with _signals_wait(), _startable(argv[0]):
            child = subprocess.Popen(
                argv,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env=given,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            )
        yield child
    finally:
        if child is not None:
            with child:
                _end(child)


@contextmanager
def _startable(program: str) -> Iterator[None]:
    """Raises ProgramMissing if the block can't start the program."""
    try:
        yield
    except OSError as error:
        raise ProgramMissing(program, error.strerror or str(error)) from error


@contextmanager
def _signals_wait() -> Iterator[None]:
    """Signals that would raise in the block raise at its end: a program is started and known, or it isn't started.

    They aren't blocked, since the program would inherit that. Only the main thread ever sees one.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    raising = [number for number in _PASSED_ON if callable(signal.getsignal(number))]
    before = {number: signal.signal(number, lambda number, _: arrived.append(number)) for number in raising}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
        for caught in arrived:
            signal.raise_signal(caught)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}


def _end(child: subprocess.Popen[str]) -> None:
    """End the program and what it has started, if it still runs; what stays after the grace period is killed."""
    try:
        _signal(child, signal.SIGTERM)
        child.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        _log.debug("does not end within %s s", GRACE_SECONDS)
    finally:
        _signal(child, signal.SIGKILL)
        child.wait()


def _signal(child: subprocess.Popen[str], number: signal.Signals) -> None:
    if child.poll() is None:
        os.killpg(child.pid, number)


def _check(argv: Sequence[str], code: int | None, complaints: str) -> None:
    _log.debug("ended with %s: %s", code, shown(argv))
    if code is not None and code < 0:
        raise ProcessKilled(shown(argv), -code)
    if code:
        raise ProcessFailed(shown(argv), code, complaints)


def _spawn(argv: Sequence[str], mask: set[int], environment: Mapping[str, str]) -> int:
    with _startable(argv[0]):
        return os.posix_spawnp(argv[0], tuple(argv), environment, setsigmask=mask, setsigdef=_PASSED_ON)


def _wait(pid: int) -> int:
    """Pass signals on until the process ends; return its wait status."""
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return status
        arrived = signal.sigwaitinfo(_PASSED_ON | {signal.SIGCHLD})
        # sigaction(2): SI_USER, SI_QUEUE and SI_TKILL are 0 or less; what the terminal sends is SI_KERNEL.
        if arrived.si_signo in _PASSED_ON and arrived.si_code <= 0:
            os.kill(pid, arrived.si_signo)


def _exit_code(argv: Sequence[str], status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return code
    if -code not in _PASSED_ON:
        raise ProcessKilled(shown(argv), -code)
    return 128 - code
