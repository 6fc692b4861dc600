"""What an engine is: it hears windows of sound and yields what was said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

SAMPLE_RATE = 16_000
"""Samples a second that engines get; what Whisper was trained on (Radford et al. 2022, 2.2)."""


@dataclass(frozen=True)
class Window:
    """Some minutes of one channel, float32 between -1 and 1, that begin `start` seconds into the recording."""

    start: float
    samples: NDArray[np.float32]

    @property
    def seconds(self) -> float:
        """Its length."""
        return len(self.samples) / SAMPLE_RATE

    @property
    def end(self) -> float:
        """Where it ends in the recording, in seconds."""
        return self.start + self.seconds


@dataclass(frozen=True)
class Segment:
    """What one speaker says in one go; times in seconds from the start of the recording.

    `language` is a code as `en`; `speaker` tells voices of one recording apart, if the engine can: any text, the same
    for the same voice. An engine without that leaves it None.
    """

    start: float
    end: float
    text: str
    language: str | None = None
    speaker: str | None = None


class Engine(Protocol):
    """Turns sound into text."""

    def transcribe(self, windows: Iterator[Window], language: str | None) -> Iterator[Segment]:
        """Yields segments in the order of their times while it takes windows, one at a time.

        Windows join up except where the recording itself has a gap; they are cut where it is quiet. `language` is
        what the owner says is spoken; None, or one that the engine doesn't know: it finds out.
        """
        ...
