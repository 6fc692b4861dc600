"""Keeps a program running while its code is worked on: `python -m app.reload [--bind HOST:PORT] PROGRAM [WORD...]`.

The program is started anew when a Python file of the app has changed, and when it has ended, whatever the reason: at
once if it had run for a while, else after a pause that doubles each time, which a change of the code cuts short.
SIGTERM and SIGINT stop it, and us. With `--bind` a socket listens there all the while, so requests wait for the next
program and none is refused; `{socket}` in the program's words becomes the number of its file descriptor.

Nothing of the app is imported here: this goes on while its code is broken.
"""

from __future__ import annotations

import argparse
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from watchfiles import PythonFilter, watch

if TYPE_CHECKING:
    from collections.abc import Sequence

LONG_SECONDS = 10.0
"""What ends after it has run for so long is started again at once."""
PAUSES = 1.0, 30.0
"""The first and the longest pause before what ended sooner is started again, in seconds."""
STOP_SECONDS = 22.0
"""How long the program may take to end (uvicorn's --timeout-graceful-shutdown is 20) before SIGKILL."""
_LOOK_MILLISECONDS = 100
_BACKLOG = 2048  # as uvicorn's


class Program:
    """The program that is to run; it does from the beginning on."""

    def __init__(self, argv: Sequence[str], handed: Sequence[int]) -> None:
        self._argv, self._handed = argv, handed
        self._pause = PAUSES[0]
        self._due: float | None = None
        self._start()

    def look(self) -> None:
        """Start it again if it has ended and its pause is over."""
        code, now = self._process.poll(), time.monotonic()
        if code is None:
            return
        if self._due is None:
            self._due = now + self._next_pause(now - self._started)
            _say("error", f"the program has ended ({_reason(code)}) and is started again in {self._due - now:.0f} s")
        if now >= self._due:
            self._start()

    def restart(self) -> None:
        """Start it anew at once."""
        self.stop()
        self._pause = PAUSES[0]
        self._start()

    def stop(self) -> None:
        """End it: by SIGTERM, which lets it finish what it has begun, after `STOP_SECONDS` by SIGKILL."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _start(self) -> None:
        self._started, self._due = time.monotonic(), None
        self._process = subprocess.Popen(self._argv, pass_fds=self._handed)

    def _next_pause(self, ran: float) -> float:
        if ran >= LONG_SECONDS:
            self._pause = PAUSES[0]
            return 0.0
        pause, self._pause = self._pause, min(2 * self._pause, PAUSES[1])
        return pause


def keep(argv: Sequence[str], handed: Sequence[int] = ()) -> None:
    """Keep the program running until a signal says to stop; `handed` are the file descriptors that it gets."""
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    changes = watch(
        Path(__file__).parent,
        watch_filter=PythonFilter(),
        stop_event=told,
        rust_timeout=_LOOK_MILLISECONDS,
        yield_on_timeout=True,
        ignore_permission_denied=True,
    )
    next(changes, None)  # from now on it misses nothing
    program = Program(argv, handed)
    try:
        for changed in changes:
            if changed:
                names = sorted({Path(path).name for _, path in changed})
                _say("info", f"{', '.join(names)} changed: the program is started anew")
                program.restart()
            else:
                program.look()
    finally:
        program.stop()


def listen(address: str) -> socket.socket:
    """A socket that listens at HOST:PORT. Raises OSError."""
    host, _, port = address.rpartition(":")
    found = socket.create_server((host, int(port)), backlog=_BACKLOG)
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # its connections inherit it; uvicorn sets none by --fd
    return found


def _reason(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _say(level: str, message: str) -> None:
    """A line in the form of app.core.logging, which may be broken now."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    line = {"event": message, "logger": "app.reload", "level": level, "timestamp": stamp}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


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
        number = listening.fileno()
        keep([word.replace("{socket}", str(number)) for word in words.program], [number])


if __name__ == "__main__":
    main()
