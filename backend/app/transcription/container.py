"""Opening a recording with FFmpeg's libraries (PyAV), so that nothing but that one file is read.

A playlist or an edit list names other files and addresses, and FFmpeg would fetch them: with our rights, inside of our
network. So only formats that hold all they need are opened, and what they name is not. Source:
FFmpeg, libavformat/options_table.h (format_whitelist, protocol_whitelist).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import av
from av.audio.stream import AudioStream

from app.transcription import errors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.container import InputContainer

_FORMATS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dts,dv,eac3,flac,flv,gsm,loas,matroska,matroska,webm,mov,mp4,m4a,"
    "3gp,3g2,mj2,mp3,mpeg,mpegts,mpegvideo,mxf,nut,ogg,qcp,rm,tak,tta,voc,w64,wav,wtv,wv,xwma,aa,aax"
)
_OPTIONS = {"format_whitelist": _FORMATS, "protocol_whitelist": "none"}
_TAGS: dict[str, Any] = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}  # noqa: PLR2004
"""Tags that aren't UTF-8 are no error; from PyAV 19 on (Python 3.12) they never are."""
_PROTECTED = {"aavd", "drmi", "drms", "enca", "encv"}
"""Sample entries of encrypted tracks: ISO/IEC 14496-12, 8.12; Apple's FairPlay; Audible."""

CHANNELS = range(1, 65)
"""What FFmpeg's resampler takes: SWR_CH_MAX in libswresample/swresample_internal.h."""
SAMPLE_RATES = range(2_000, 768_001)
"""In Hz: from telephones' lowest to studios' highest. Each sample of less would grow to more than eight."""


@contextmanager
def opened(file: BinaryIO) -> Iterator[InputContainer]:
    """The recording, open for reading; `file` must be able to seek. Raises `Unusable`, and what its reading raises."""
    head = file.read(12)
    file.seek(0)
    if not head:
        raise errors.FileEmpty
    try:
        container = av.open(file, mode="r", container_options=_OPTIONS, buffer_size=2**18, **_TAGS)
    except (av.FFmpegError, ValueError) as error:
        raise (errors.CutOff if head[4:8] == b"ftyp" else errors.NotMedia) from error
    with container:
        yield container


def sound_of(container: InputContainer) -> AudioStream:
    """The audio track that a player would choose. Raises `Unusable` if there is none that can be decoded."""
    stream = container.streams.best("audio")
    if not isinstance(stream, AudioStream):
        if container.streams.video:
            raise errors.NoSound
        # An index that ends too early names no tracks.
        raise errors.CutOff if container.format.name.startswith("mov,") else errors.NotMedia
    context = stream.codec_context
    if context is None:
        raise errors.CodecUnknown("unknown")
    if context.codec_tag in _PROTECTED:
        raise errors.Protected
    check_bounds(context.channels, context.sample_rate)
    return stream


def check_bounds(channels: int, sample_rate: int) -> None:
    """Raises `OutOfBounds` for what no recording has. 0 is what a track of no length says."""
    if channels and channels not in CHANNELS:
        raise errors.OutOfBounds(f"{channels} channels", f"{CHANNELS[-1]} or fewer")
    if sample_rate and sample_rate not in SAMPLE_RATES:
        raise errors.OutOfBounds(f"{sample_rate} samples a second", f"{SAMPLE_RATES[0]} to {SAMPLE_RATES[-1]} of them")
