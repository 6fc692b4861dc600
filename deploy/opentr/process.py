"""The door to other programs: nothing else in the tool starts one. Commands are argv lists, never shell text."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from typing import TYPE_CHECKING

from opentr.errors import ProcessFailed, ProcessKilled, ProgramMissing

if TYPE_CHECKING:
    from collections.abc import Sequence

_PASSED_ON = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
_URL_PASSWORD = re.compile(r"(?<=://)([^:/@\s]*):\S*@")
_DSN_PASSWORD = re.compile(r"(password\s*=\s*)('[^']*'|\S+)", re.IGNORECASE)


def shown(argv: Sequence[str]) -> str:
    """Return the command as one would type it, passwords in addresses left out."""
    return shlex.join(_DSN_PASSWORD.sub(r"\1***", _URL_PASSWORD.sub(r"\1:***@", word)) for word in argv)


def run(argv: Sequence[str], *, stdin: str = "") -> str:
    """Run a program to its end and return what it wrote to stdout.

    Raises ProcessFailed, with its stderr inside, if it ends with another code than 0, ProcessKilled if a signal ended
    it, and ProgramMissing if it can't be started.
    """
    try:
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ProgramMissing(argv[0], error.strerror or str(error)) from error
    if done.returncode < 0:
        raise ProcessKilled(shown(argv), -done.returncode)
    if done.returncode:
        raise ProcessFailed(shown(argv), done.returncode, done.stderr)
    return done.stdout


def attached(argv: Sequence[str]) -> int:
    """Run a program on our own terminal, input and output, wait for its end and return its exit code.

    Signals that reach us alone are passed on; Ctrl-C, which the terminal sends to the program as well, isn't sent
    twice: it would cut short the program's own cleaning up. Ended by one of these signals its code is 128 + number.

    Raises ProcessKilled if any other signal ended it, and ProgramMissing if it can't be started.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON | {signal.SIGCHLD})
    try:
        pid = _spawn(argv, before)
        return _exit_code(argv, _wait(pid))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _spawn(argv: Sequence[str], mask: set[int]) -> int:
    try:
        return os.posix_spawnp(argv[0], tuple(argv), os.environ, setsigmask=mask, setsigdef=_PASSED_ON)
    except OSError as error:
        raise ProgramMissing(argv[0], error.strerror or str(error)) from error


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
