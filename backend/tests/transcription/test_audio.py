from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest

from app.transcription import audio
from app.transcription.audio import WINDOW_SECONDS, windows
from app.transcription.container import opened
from app.transcription.engine import SAMPLE_RATE
from app.transcription.errors import NothingInside, OutOfBounds, TooLong
from tests.speech import RATE, cut, record, silence, wav_header

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from app.transcription.engine import Window

HOUR = 3600


def heard(path: Path, longest: int = 24 * HOUR) -> list[Window]:
    with path.open("rb") as file, opened(file) as container:
        return list(windows(container, longest))


def tone(seconds: float) -> NDArray[np.int16]:
    return (np.sin(np.arange(int(seconds * RATE)) * 0.3) * 8000).astype(np.int16)


@pytest.mark.parametrize("ending", ["wav", "mp3", "flac", "ogg", "m4a", "mp4", "mkv", "mov", "webm"])
def test_every_format_becomes_the_same_sound(tmp_path: Path, ending: str) -> None:
    (window,) = heard(record(tmp_path / f"tone.{ending}", tone(5), pictures=ending in ("mp4", "mkv", "mov")))
    assert window.samples.dtype == np.float32
    assert (window.start, window.seconds) == (0.0, pytest.approx(5, abs=0.1))
    assert float(np.abs(window.samples).max()) == pytest.approx(0.25, abs=0.05)


def test_a_long_recording_is_cut_in_windows_that_join_up(tmp_path: Path) -> None:
    found = heard(record(tmp_path / "long.flac", tone(2.5 * WINDOW_SECONDS)))
    assert [round(window.start, 6) for window in found[1:]] == [round(window.end, 6) for window in found[:-1]]
    assert found[-1].end == pytest.approx(2.5 * WINDOW_SECONDS, abs=0.01)
    assert all(window.seconds <= WINDOW_SECONDS for window in found)


def test_it_is_cut_where_it_is_quiet(tmp_path: Path) -> None:
    pause = WINDOW_SECONDS - 20
    sound = np.concatenate([tone(pause), silence(1), tone(60)])
    first, second = heard(record(tmp_path / "pause.flac", sound))
    assert pause < first.end < pause + 1
    assert second.start == first.end


def test_memory_does_not_grow_with_the_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio, "WINDOW_SECONDS", 10)
    path = record(tmp_path / "hours.flac", silence(HOUR / 2))
    with path.open("rb") as file, opened(file) as container:
        lengths = [len(window.samples) for window in windows(container, HOUR)]
    assert max(lengths) <= 10 * SAMPLE_RATE
    assert sum(lengths) == HOUR // 2 * SAMPLE_RATE


def test_a_gap_in_the_recording_keeps_what_follows_at_its_time(tmp_path: Path) -> None:
    path = record(tmp_path / "gap.mkv", tone(3), gap_after=1, gap_seconds=60)
    first, second = heard(path)
    assert (first.start, first.end) == (0.0, pytest.approx(1, abs=0.2))
    assert (second.start, second.end) == (pytest.approx(61, abs=0.2), pytest.approx(63, abs=0.3))


def test_a_recording_that_was_cut_off_is_heard_as_far_as_it_goes(tmp_path: Path) -> None:
    whole = record(tmp_path / "whole.mp3", tone(60))
    (window,) = heard(cut(whole, 0.5))
    assert window.end == pytest.approx(30, abs=2)


def test_bytes_in_the_middle_that_are_no_sound_are_left_out(tmp_path: Path) -> None:
    path = record(tmp_path / "damaged.mp3", tone(60))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 5000] = b"\xff" * 5000
    path.write_bytes(content)
    assert sum(window.seconds for window in heard(path)) == pytest.approx(60, rel=0.1)


def test_a_track_of_no_length_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NothingInside, match="no moment"):
        heard(record(tmp_path / "nothing.wav", silence(0)))


def test_a_recording_that_says_it_is_too_long_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(TooLong, match=r"longer than 0\.5 h"):
        heard(record(tmp_path / "long.flac", silence(HOUR / 2 + 1)), HOUR // 2)


def test_one_that_does_not_say_so_is_refused_when_it_shows(tmp_path: Path) -> None:
    path = record(tmp_path / "long.flac", silence(HOUR / 2))
    content = path.read_bytes()
    # The number of samples in STREAMINFO, 36 bits, as 0: unknown (RFC 9639, 8.2).
    path.write_bytes(content[:21] + bytes([content[21] & 0xF0, 0, 0, 0, 0]) + content[26:])
    with path.open("rb") as file, opened(file) as container:
        assert container.duration is None
    with pytest.raises(TooLong):
        heard(path, HOUR // 4)


@pytest.mark.parametrize("channels", [1, 2, 6, 8, 9, 24, 64])
def test_any_number_of_channels_becomes_one(channels: int) -> None:
    with opened(io.BytesIO(wav_header(channels, RATE))) as container:
        (window,) = windows(container, HOUR)
    assert len(window.samples) == 200_000 // 2 // channels


@pytest.mark.parametrize(("channels", "rate"), [(65, RATE), (400, RATE), (1, 1), (1, 2**31 - 1), (2, 10**7)])
def test_sizes_that_no_recording_has_are_refused(channels: int, rate: int) -> None:
    with opened(io.BytesIO(wav_header(channels, rate))) as container, pytest.raises(OutOfBounds):
        next(windows(container, HOUR))
