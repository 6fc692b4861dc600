from __future__ import annotations

import io
import shutil
from typing import TYPE_CHECKING

import pytest

from app.transcription.container import opened, sound_of
from app.transcription.errors import CutOff, FileEmpty, NoSound, NotMedia, Unusable
from tests.speech import cut, record, silence, wav_header

if TYPE_CHECKING:
    from pathlib import Path


def refused(content: bytes) -> Unusable:
    with pytest.raises(Unusable) as caught, opened(io.BytesIO(content)) as container:
        sound_of(container)
    assert ";" in str(caught.value)
    return caught.value


def test_an_empty_file_is_called_that() -> None:
    assert isinstance(refused(b""), FileEmpty)


@pytest.mark.parametrize(
    "content", [b"x", b"Dear all,\nthe meeting is on Monday.\n" * 50, bytes(5000), b"\x89PNG\r\n\x1a\n"]
)
def test_what_is_no_recording_is_called_that(content: bytes) -> None:
    assert isinstance(refused(content), NotMedia)


def test_an_mp4_without_its_end_is_called_cut_off(tmp_path: Path) -> None:
    path = cut(record(tmp_path / "talk.mp4", silence(5), pictures=True), 0.7)
    assert isinstance(refused(path.read_bytes()), CutOff)


def test_a_video_without_sound_is_called_that(tmp_path: Path) -> None:
    assert isinstance(refused(record(tmp_path / "mute.mp4", pictures=True).read_bytes()), NoSound)


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile://{0}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{0}'\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    ],
    ids=["playlist", "concat", "sdp"],
)
def test_files_that_name_others_are_not_followed(tmp_path: Path, text: str) -> None:
    other = record(tmp_path / "other.wav", silence(5))
    shutil.copy(other, tmp_path / "other.ts")
    assert isinstance(refused(text.format(other).encode()), NotMedia)


@pytest.mark.parametrize("sizes", [(65_535, 16_000), (0, 16_000), (2, 0), (2, 2**32 - 1), (65_535, 2**32 - 1)])
def test_headers_with_absurd_sizes_are_refused(sizes: tuple[int, int]) -> None:
    assert isinstance(refused(wav_header(*sizes)), Unusable)


def test_what_the_store_raises_while_it_is_read_comes_through(tmp_path: Path) -> None:
    class Breaking(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 0:
                raise ConnectionResetError
            return super().read(size)

    content = record(tmp_path / "talk.wav", silence(5)).read_bytes()
    broken = Breaking(content)
    with pytest.raises(ConnectionResetError), opened(broken) as container:
        list(container.demux())
