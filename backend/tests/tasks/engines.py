"""Engines for tests of the workers, named to them as TRANSCRIPTION_ENGINE; they hear words in any sound.

They look for files in the folder that the worker runs in.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from app.transcription.engine import Segment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.transcription.engine import Window

BEGUN, HOLD = Path("begun"), Path("hold")


class Quick:
    """One segment a window."""

    def transcribe(self, windows: Iterator[Window], language: str | None) -> Iterator[Segment]:  # noqa: ARG002
        """Hears the same everywhere."""
        for window in windows:
            yield Segment(window.start, window.end, "heard", "en")


class Held(Quick):
    """Goes on without an end while the file `hold` is there."""

    def transcribe(self, windows: Iterator[Window], language: str | None) -> Iterator[Segment]:
        """Says in the file `begun` who works, and hears one thing again and again."""
        with BEGUN.open("a") as file:
            file.write(f"{os.getpid()}\n")
        for segment in super().transcribe(windows, language):
            yield segment
            while HOLD.exists():
                time.sleep(0.01)
                yield segment


class Stuck(Held):
    """Likewise, and tells nobody that it is still there, as a library of C."""

    def transcribe(self, windows: Iterator[Window], language: str | None) -> Iterator[Segment]:
        """Takes its time over the first thing that it hears."""
        heard = list(super(Held, self).transcribe(windows, language))
        with BEGUN.open("a") as file:
            file.write(f"{os.getpid()}\n")
        while HOLD.exists():
            time.sleep(0.01)
        yield from heard


class Killing(Quick):
    """Ends its process as the kernel does where memory is short."""

    def transcribe(self, windows: Iterator[Window], language: str | None) -> Iterator[Segment]:
        """Hears nothing."""
        os.kill(os.getpid(), signal.SIGKILL)
        yield from super().transcribe(windows, language)


class Failing(Quick):
    """Has a fault."""

    def transcribe(self, windows: Iterator[Window], language: str | None) -> Iterator[Segment]:
        """Hears the first thing."""
        yield next(super().transcribe(windows, language))
        raise ZeroDivisionError("a fault of the engine")
