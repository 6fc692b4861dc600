"""Keeps a process for another one: runs commands in a row, and ends and cleans up when nobody wants them any more.

Started as a script of its own, with the standard library alone. Its first argument is a JSON object:

    commands   lists of argv, run one after the other; the last one is the server
    parent     the pid for which all this is done
    log        the file that takes what the commands print
    uid, gid   whom to run the commands as; null for oneself (only root can name others)
    signals    names of the signals that stop the server, in order, each given `patience` seconds
    folder     the folder to remove at the end

It ends when a byte or the end of file comes on its standard input, on SIGTERM, or when the parent is gone, even by
SIGKILL. When a command ends by itself, its exit code is written to `folder`/ended and the folder stays until then.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PARENT_CHECK_SECONDS = 0.5


def _die_with_keeper() -> None:
    """In the child, after it changed its uid (which resets this): if even the keeper is killed, the server quits."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


class Keeper:
    """One run of the commands of an order."""

    def __init__(self, order: dict[str, Any]) -> None:
        self._order = order
        self._folder = Path(order["folder"])
        self._dismissed = False
        self._wake, writing_end = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(writing_end, False)
        signal.set_wakeup_fd(writing_end, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._dismiss)

    def _dismiss(self, *_: object) -> None:
        self._dismissed = True

    def _wanted(self) -> bool:
        """Waits a moment for news; whether we are still to go on."""
        readable, _, _ = select.select([sys.stdin, self._wake], [], [], _PARENT_CHECK_SECONDS)
        if self._wake in readable:
            os.read(self._wake, 512)
        self._dismissed = self._dismissed or sys.stdin in readable or os.getppid() != self._order["parent"]
        return not self._dismissed

    def _start(self, argv: list[str]) -> subprocess.Popen[bytes]:
        uid, gid = self._order["uid"], self._order["gid"]
        with Path(self._order["log"]).open("ab") as log:
            return subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                user=uid,
                group=gid,
                extra_groups=None if uid is None else [],
                umask=0o077,
                preexec_fn=_die_with_keeper,  # noqa: PLW1509 - this process has no other thread
            )

    def _stop(self, child: subprocess.Popen[bytes]) -> None:
        for name in [*self._order["signals"], "SIGKILL"]:
            child.send_signal(signal.Signals[name])
            try:
                child.wait(self._order["patience"])
            except subprocess.TimeoutExpired:
                continue
            return

    def _run(self, argv: list[str]) -> int | None:
        """Runs one command to its end; None if it was stopped because nobody wants it any more."""
        child = self._start(argv)
        while child.poll() is None:
            if not self._wanted():
                self._stop(child)
                return None
        return child.returncode

    def keep(self) -> None:
        """Runs everything and waits to be dismissed."""
        try:
            code: int | None = 0
            for argv in self._order["commands"]:
                code = self._run(argv)
                if code != 0:
                    break
            with contextlib.suppress(FileNotFoundError):  # who was to read it has gone and taken the folder along
                (self._folder / "ended").write_text(f"{code}\n")
            while not self._dismissed:
                self._wanted()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)


if __name__ == "__main__":
    Keeper(json.loads(sys.argv[1])).keep()
