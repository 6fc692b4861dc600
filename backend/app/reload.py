"""Keeps a program running while its code is worked on: `python -m app.reload [--bind HOST:PORT] PROGRAM [WORD...]`.

The program is started anew when a Python file of the app has changed, and when it has ended, whatever the reason: at
once if it had run for a while, else after a pause that doubles each time, which a change of the code cuts short.
SIGTERM, SIGINT and SIGHUP stop it, and us. With `--bind` a socket listens there all the while, so connections wait
for the next program and none is refused; `{socket}` in the program's words becomes the number of its file descriptor.
While the program ends at once again and again, they are closed unanswered: no request is to be carried out much later.

Nothing of the app is imported here: this goes on while its code is broken.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from watchfiles import PythonFilter, watch

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

LONG_SECONDS = 10.0
"""What ends after it has run for so long is started again at once."""
PAUSES = 1.0, 30.0
"""The first and the longest pause before what ended sooner is started again, in seconds."""
STOP_SECONDS = 22.0
"""How long the program may take to end (uvicorn's --timeout-graceful-shutdown is 20) before SIGKILL."""
_LOOK_MILLISECONDS = 100
_BACKLOG = 2048  # as uvicorn's
_NAMES = 3


class Told:
    """Whether a signal has said to stop. An Event isn't for signal handlers: one that interrupts another one hangs."""

    def __init__(self) -> None:
        self._is_set = False
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._set)

    def is_set(self) -> bool:
        """As an Event has it, for watchfiles."""
        return self._is_set

    def _set(self, _number: int, _frame: object) -> None:
        self._is_set = True


class Program:
    """The program that is to run; `handed` is the listening socket that it gets."""

    def __init__(self, argv: Sequence[str], handed: socket.socket | None, told: Told) -> None:
        self._argv, self._handed, self._told = argv, handed, told
        self._pause = PAUSES[0]
        self._due: float | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._begun = 0.0

    def start(self) -> None:
        """Start it, unless we are to stop."""
        if self._told.is_set():
            return
        self._begun, self._due = time.monotonic(), None
        handed = [self._handed.fileno()] if self._handed else []
        try:
            self._process = subprocess.Popen(self._argv, pass_fds=handed)
        except OSError as error:
            self._process = None
            self._wait_a_while(f"can't be started ({error})")

    def look(self) -> None:
        """Start it again if it has ended and its pause is over."""
        if self._process is not None and self._process.poll() is None:
            return
        if self._due is None and self._process is not None:
            self._wait_a_while(f"has ended ({_reason(self._process.returncode)})")
        if self._due is not None and time.monotonic() >= self._due:
            self.start()
        elif self._pause > 2 * PAUSES[0]:
            self._turn_away()

    def restart(self) -> None:
        """Start it anew at once."""
        self.stop()
        self._pause = PAUSES[0]
        self.start()

    def stop(self) -> None:
        """End it: by SIGTERM, which lets it finish what it has begun, after `STOP_SECONDS` by SIGKILL."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _wait_a_while(self, what: str) -> None:
        pause = self._next_pause(time.monotonic() - self._begun)
        self._due = time.monotonic() + pause
        _say("error", f"the program {what} and is started again in {pause:.0f} s")

    def _next_pause(self, ran: float) -> float:
        if ran >= LONG_SECONDS:
            self._pause = PAUSES[0]
            return 0.0
        pause, self._pause = self._pause, min(2 * self._pause, PAUSES[1])
        return pause

    def _turn_away(self) -> None:
        """Close what waits to be served: it would be carried out when the program works again, whoever still asks."""
        while self._handed and select.select([self._handed], [], [], 0)[0]:
            try:
                self._handed.accept()[0].close()
            except OSError:  # who asked has given up
                return


def keep(argv: Sequence[str], handed: socket.socket | None = None) -> None:
    """Keep the program running until a signal says to stop."""
    told = Told()
    changes = watch(
        Path(__file__).parent,
        watch_filter=PythonFilter(),
        stop_event=told,
        rust_timeout=_LOOK_MILLISECONDS,
        yield_on_timeout=True,
        ignore_permission_denied=True,
    )
    next(changes, None)  # from now on it misses nothing
    program = Program(argv, handed, told)
    try:
        program.start()
        for changed in changes:
            if changed:
                _say("info", f"{_named(changed)} changed: the program is started anew")
                program.restart()
            else:
                program.look()
    finally:
        program.stop()


def _named(changed: Collection[tuple[object, str]]) -> str:
    names = sorted({str(Path(path).relative_to(Path(__file__).parent)) for _, path in changed})
    return ", ".join(names[:_NAMES]) + (f" and {len(names) - _NAMES} more" if len(names) > _NAMES else "")


def listen(address: str) -> socket.socket:
    """A socket that listens at HOST:PORT. Raises OSError."""
    host, _, port = address.rpartition(":")
    found = socket.create_server((host, int(port)), backlog=_BACKLOG)
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # its connections inherit it; uvicorn sets none by --fd
    return found


def _reason(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    known = {each.value: each.name for each in signal.Signals}
    return known.get(-code, f"signal {-code}")


def _say(level: str, message: str) -> None:
    """A line in the form of app.core.logging, which may be broken now."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    line = {"event": message, "logger": "app.reload", "level": level, "timestamp": stamp}
    with suppress(OSError):  # a full disk, a reader that has gone: no reason to end
        os.write(sys.stdout.fileno(), json.dumps(line).encode() + b"\n")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser("python -m app.reload")
    parser.add_argument("--bind", metavar="HOST:PORT")
    parser.add_argument("program", nargs=argparse.REMAINDER)
    words = parser.parse_args()
    if not words.program:
        parser.error("which program?")
    if words.bind is None:
        keep(words.program)
        return
    with listen(words.bind) as listening:
        keep([word.replace("{socket}", str(listening.fileno())) for word in words.program], listening)


if __name__ == "__main__":
    main()
