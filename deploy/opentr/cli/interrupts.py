"""Ctrl-C, SIGTERM and SIGHUP: each unwinds what is being done, so that it is cleaned up once."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LAST = 3


def install() -> None:
    """From now on the first of these signals unwinds; those that were ignored (nohup) stay so."""
    handler = _Unwind()
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


class _Unwind:
    """The first signal raises. The second is told that cleaning up goes on, the third ends that too."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the shape of a handler
        """Take one signal."""
        self._count += 1
        if self._count not in (1, _LAST):
            sys.stderr.write("\ncleaning up; once more ends this at once, and the next command finishes it\n")
            return
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)
