"""Recordings for tests: a text that flite speaks, in the formats that people upload; and broken ones."""

from __future__ import annotations

import functools
import re
import struct
import subprocess
import tempfile
import wave
from pathlib import Path
from typing import TYPE_CHECKING

import av
import jiwer
import numpy as np

from app.db import binaries
from tests.servers import leave_out

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

RATE = 16_000
"""Samples a second of flite's voices."""
VOICE = "rms"
TEXT = (
    "The meeting starts on Monday morning. We will talk about the budget for the next year, and then about the new "
    "office in London. Please bring your notes and a cup of coffee. Our customers asked for a faster answer to their "
    "questions. The budget is small this year, and the office needs a budget of its own."
)
_CODECS = {".wav": "pcm_s16le", ".mp3": "mp3", ".flac": "flac", ".ogg": "libopus", ".webm": "libopus"}
_SOUND, _PICTURES = "aac", {".webm": "libvpx"}


@functools.cache
def spoken(text: str = TEXT) -> NDArray[np.int16]:
    """The text as sound: mono, `RATE`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        subprocess.run([_flite(), "-voice", VOICE, "-t", text, "-o", path], check=True, timeout=60)
        with wave.open(str(path)) as file:
            assert (file.getframerate(), file.getnchannels()) == (RATE, 1)
            return np.frombuffer(file.readframes(file.getnframes()), dtype=np.int16)


def _flite() -> Path:
    found = (Path("/usr/bin/flite"), *binaries.FETCHED.glob("*/usr/bin/flite"))
    return next((path for path in found if path.exists()), None) or leave_out("no flite on this machine")


def silence(seconds: float) -> NDArray[np.int16]:
    """Nothing."""
    return np.zeros(int(seconds * RATE), dtype=np.int16)


def record(
    path: Path,
    sound: NDArray[np.int16] | None = None,
    *,
    tags: Mapping[str, str] | None = None,
    pictures: bool = False,
    **options: float,
) -> Path:
    """Writes a recording in the format of the path's ending: wav, mp3, flac, ogg, m4a, mp4, mkv, mov or webm.

    `sound` is mono, `RATE` (None: no audio track); `pictures` adds a video of 320 × 180, ten a second. Of `options`,
    `faststart` writes an mp4's index before its data; the clock jumps by `gap_seconds` after `gap_after` seconds.
    """
    with av.open(str(path), "w", options={"movflags": "faststart"} if options.get("faststart") else {}) as container:
        container.metadata.update(tags or {})
        codec = _CODECS.get(path.suffix, _SOUND)
        rate = 48_000 if codec == "libopus" else RATE
        audio = None if sound is None else container.add_stream(codec, rate=rate)
        video = container.add_stream(_PICTURES.get(path.suffix, "mpeg4"), rate=10) if pictures else None
        if audio is not None:
            audio.layout = "mono"
        if video is not None:
            video.width, video.height, video.pix_fmt = 320, 180, "yuv420p"
        container.start_encoding()
        if video is not None:
            seconds = 2.0 if sound is None else len(sound) / RATE
            for _ in range(int(seconds * 10)):
                frame = av.VideoFrame.from_ndarray(np.zeros((180, 320, 3), dtype=np.uint8), format="rgb24")
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
        if audio is not None and sound is not None:
            for frame in _frames(sound, options.get("gap_after", 0), options.get("gap_seconds", 0)):
                container.mux(audio.encode(frame))
            container.mux(audio.encode(None))
    return path


def _frames(sound: NDArray[np.int16], gap_after: float, gap_seconds: float) -> Iterator[av.AudioFrame]:
    for start in range(0, len(sound), RATE):
        frame = av.AudioFrame.from_ndarray(sound[start : start + RATE].reshape(1, -1), format="s16", layout="mono")
        late = gap_seconds if start >= gap_after * RATE else 0
        frame.sample_rate, frame.pts = RATE, start + int(late * RATE)
        yield frame


def cut(path: Path, share: float) -> Path:
    """Leaves only the first part of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def wav_header(channels: int, rate: int, *, sound: bytes = b"\0" * 200_000) -> bytes:
    """A WAV file that says so of itself; 16 bits a sample."""
    size = len(sound)
    width = channels * 2
    speed = min(rate * width, 2**32 - 1)
    layout = struct.pack("<HHIIHH", 1, channels, rate, speed, width % 65536, 16)
    body = b"WAVEfmt " + struct.pack("<I", 16) + layout + b"data" + struct.pack("<I", size) + sound
    return b"RIFF" + struct.pack("<I", len(body)) + body


def word_error_rate(heard: str, said: str = TEXT) -> float:
    """Words wrong, missing or too many, as a share of those said; signs and capitals count as nothing."""
    return jiwer.wer(_plain(said), _plain(heard))


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[a-z']+", text.lower().replace("-", " ")))
