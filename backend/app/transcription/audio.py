"""The sound of a recording as windows of some minutes: its length costs time, and no memory.

Windows are cut where it is quiet, so that no word is in two. Sound that FFmpeg can't decode is left out, and the rest
stays at its time: a jump of the recording's clock begins a new window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np
from av.audio.fifo import AudioFifo
from av.audio.resampler import AudioResampler

from app.transcription import errors
from app.transcription.container import check_bounds, sound_of
from app.transcription.engine import SAMPLE_RATE, Window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.audio.frame import AudioFrame
    from av.audio.layout import AudioLayout
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from numpy.typing import NDArray

WINDOW_SECONDS = 300
"""19 MB of samples; an engine needs a few times that."""
SEARCHED_SECONDS = 30
"""The end of a window, in which the quietest moment is looked for."""
JUMP_SECONDS = 1.0
"""Gaps shorter than that are packets that got lost, or clocks of low precision."""
_QUIET = SAMPLE_RATE // 5
"""Samples of a moment that is quiet enough to be between two words: 0.2 s."""
_MIXED_CHANNELS = 8
"""Up to so many, FFmpeg takes the usual layout of their number."""
_GATHERED_SAMPLES = 100_000
_STEP = SAMPLE_RATE // 50


def windows(container: InputContainer, longest_seconds: int) -> Iterator[Window]:
    """Reads the recording once, from its start. Raises `TooLong` when that shows, and `NothingInside`."""
    sound = sound_of(container)
    if (container.duration or 0) / av.time_base > longest_seconds:
        raise errors.TooLong(longest_seconds)
    window = None
    try:
        for window in _windows(container, sound):
            if window.end > longest_seconds:
                raise errors.TooLong(longest_seconds)
            yield window
    except av.FFmpegError as error:  # sound of a shape that can't be converted
        raise errors.NotMedia from error
    if window is None:
        raise errors.NothingInside


def _windows(container: InputContainer, sound: AudioStream) -> Iterator[Window]:
    """Blocks joined to windows of `WINDOW_SECONDS` at most."""
    blocks: list[NDArray[np.float32]] = []
    start, gathered = 0.0, 0
    most = WINDOW_SECONDS * SAMPLE_RATE
    for at, block in _blocks(container, sound):
        if at is not None:
            if gathered:
                yield Window(start, np.concatenate(blocks))
            start, blocks, gathered = at, [], 0
        blocks.append(block)
        gathered += len(block)
        while gathered >= most:
            samples = np.concatenate(blocks)
            cut = _quiet_place(samples[:most])
            yield Window(start, samples[:cut])
            start += cut / SAMPLE_RATE
            blocks, gathered = [samples[cut:].copy()], len(samples) - cut
    if gathered:
        yield Window(start, np.concatenate(blocks))


def _quiet_place(samples: NDArray[np.float32]) -> int:
    """The middle of the quietest moment near the end, as a number of samples."""
    searched = min(SEARCHED_SECONDS * SAMPLE_RATE, len(samples) // 2)
    first = len(samples) - searched
    energy = np.cumsum(np.square(samples[first:], dtype=np.float64))
    moments = energy[_QUIET::_STEP] - energy[: len(energy) - _QUIET : _STEP]
    return first + int(np.argmin(moments)) * _STEP + _QUIET // 2


def _blocks(container: InputContainer, sound: AudioStream) -> Iterator[tuple[float | None, NDArray[np.float32]]]:
    """Pieces of sound as engines want it; with the time in seconds where one doesn't join the last."""
    origin = (container.start_time or 0) / av.time_base
    run, expected = None, None
    for frame in _frames(container, sound):
        time = None if frame.time is None else max(0.0, frame.time - origin)
        jump = expected is None or (time is not None and time - expected > JUMP_SECONDS)
        start = (time or 0.0) if jump else expected or 0.0
        if run is not None and (jump or not run.takes(frame)):
            yield from run.end()
            run = None
        if run is None:
            run = _Run(frame, start if jump else None)
        yield from run.add(frame)
        expected = start + frame.samples / frame.sample_rate
    if run is not None:
        yield from run.end()


class _Run:
    """Frames of one shape that follow one another, converted some seconds at a time: that takes a tenth of the time."""

    def __init__(self, first: AudioFrame, at: float | None) -> None:
        check_bounds(first.layout.nb_channels, first.sample_rate)
        self._at = at
        self._shape = _shape(first)
        self._gathered = AudioFifo()
        self._resampler = AudioResampler(format="flt", layout=_layout(first), rate=SAMPLE_RATE)

    def takes(self, frame: AudioFrame) -> bool:
        """Whether the frame is like the others."""
        return self._shape == _shape(frame)

    def add(self, frame: AudioFrame) -> Iterator[tuple[float | None, NDArray[np.float32]]]:
        """Takes it, and yields what is ready."""
        frame.pts = None  # what is missing isn't filled in
        self._gathered.write(frame)
        if self._gathered.samples >= _GATHERED_SAMPLES:
            yield from self._converted(self._gathered.read())

    def end(self) -> Iterator[tuple[float | None, NDArray[np.float32]]]:
        """Yields the rest."""
        if self._gathered.samples:
            yield from self._converted(self._gathered.read())
        yield from self._converted(None)

    def _converted(self, frame: AudioFrame | None) -> Iterator[tuple[float | None, NDArray[np.float32]]]:
        for made in self._resampler.resample(frame):
            # Never by planes, a channel each: of more than eight PyAV reads past the end (seen: it crashes).
            yield self._at, made.to_ndarray().reshape(-1, made.layout.nb_channels).mean(axis=1)
            self._at = None


def _shape(frame: AudioFrame) -> tuple[int, str, str]:
    return frame.sample_rate, frame.layout.name, frame.format.name


def _layout(frame: AudioFrame) -> str | AudioLayout:
    """One channel, where FFmpeg knows how to mix those that there are; else all, which we mix to equal parts."""
    known = frame.layout.nb_channels <= _MIXED_CHANNELS or not frame.layout.name.endswith("channels")
    return "mono" if known else frame.layout


def _frames(container: InputContainer, sound: AudioStream) -> Iterator[AudioFrame]:
    """What can be decoded, whatever lies in between."""
    packets = container.demux(sound)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.FFmpegError):  # the file may end before it says so
            return
        try:
            yield from packet.decode()
        except av.FFmpegError:
            continue
