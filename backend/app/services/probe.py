"""What a recording's file says about itself, as columns of `media_file`. Nothing of it is decoded."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import av
from av.audio.stream import AudioStream
from av.stream import Disposition

from app.models.media import MediaFile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from av.container import InputContainer
    from av.stream import Stream
    from av.video.stream import VideoStream

_MOST_TAGS = 200
_LONGEST_TAG = 10_000
"""Characters. A tag may be a whole lyric; it may also be a picture that somebody took for text."""
_MOST_RAW = 250_000
"""Characters of all that a file says. Each listing reads it, so who says more isn't quoted."""
_MOST_INTEGER = 2**31 - 1
_LOSSLESS = {"alac", "ape", "flac", "tak", "tta", "wavpack"}
"""Codecs that keep samples as they are, beside PCM; of the others nobody can say how many bits a sample has."""

# What cameras, phones and programs call them: QuickTime, Android, ID3 (as FFmpeg names its tags), Vorbis comments.
_NAMES: dict[str, tuple[str, ...]] = {
    "title": ("title", "com.apple.quicktime.title"),
    "author": ("artist", "author", "com.apple.quicktime.author", "com.apple.quicktime.artist", "album_artist"),
    "description": ("description", "comment", "com.apple.quicktime.description", "synopsis", "subtitle"),
    "device_make": ("com.apple.quicktime.make", "com.android.manufacturer", "make", "manufacturer"),
    "device_model": ("com.apple.quicktime.model", "com.android.model", "model", "device"),
    "creation_date": ("com.apple.quicktime.creationdate", "creation_time", "date_utc", "date", "year"),
    "last_modified_date": ("modification_time", "last_modified", "modification_date", "tagging_time"),
}
_BRANDS = {"qt": "mov", "m4a": "m4a", "m4b": "m4a", "3g": "3gp"}
_WEBM = {"av1", "opus", "vorbis", "vp8", "vp9"}
_YEAR = re.compile(r"\d{4}", re.ASCII)
_DATES = {"creation_date", "last_modified_date"}


def probe(container: InputContainer) -> dict[str, Any]:
    """The columns that the file's header gives; what it doesn't say is None."""
    video = next((each for each in container.streams.video if not each.disposition & Disposition.attached_pic), None)
    audio = _audio(container)
    tags = _tags(container, audio, video)
    columns: dict[str, Any] = {
        "duration": _duration(container),
        "media_format": _format(container, tags),
        "codec": _codec(video or audio),
        **_of_audio(audio),
        **_of_video(video),
        **{name: _found(name, tags) for name in _NAMES},
    }
    important = {name: value for name, value in columns.items() if value is not None}
    columns["metadata_raw"] = _raw(container)
    columns["metadata_important"] = {
        name: value.isoformat() if isinstance(value, datetime) else value for name, value in important.items()
    } | {"audio_codec": _codec(audio), "video_codec": _codec(video)}
    return columns


def _audio(container: InputContainer) -> AudioStream | None:
    best = container.streams.best("audio")
    return best if isinstance(best, AudioStream) else None


def _duration(container: InputContainer) -> float | None:
    """Seconds; None where the file doesn't say, as those of browsers' recorders."""
    if not container.duration or container.duration < 0:
        return None
    return float(container.duration / av.time_base)


def _format(container: InputContainer, tags: Mapping[str, str]) -> str:
    """Of formats that share a reader, the one that the file claims to be (ISO/IEC 14496-12, 4.3: its major brand)."""
    name = container.format.name
    if name.startswith("mov,"):
        brand = tags.get("major_brand", "").lower()
        return next((short for start, short in _BRANDS.items() if brand.startswith(start)), "mp4")
    if name.startswith("matroska"):
        codecs = {_codec(stream) for stream in container.streams if stream.type in ("audio", "video")}
        return "webm" if codecs <= _WEBM else "matroska"
    return name.split(",")[0][:50]


def _codec(stream: Stream | None) -> str | None:
    if stream is None or stream.codec_context is None:
        return None
    return stream.codec_context.codec.canonical_name


def _of_audio(stream: AudioStream | None) -> dict[str, Any]:
    if stream is None or stream.codec_context is None:
        return dict.fromkeys(("audio_channels", "audio_sample_rate", "audio_bit_depth"))
    context = stream.codec_context
    return {
        "audio_channels": _positive(context.channels),
        "audio_sample_rate": _positive(context.sample_rate),
        "audio_bit_depth": _bit_depth(context),
    }


def _bit_depth(context: Any) -> int | None:  # noqa: ANN401 - AudioCodecContext, whose `format` is typed as a descriptor
    if context.name.startswith("pcm_") or context.name in _LOSSLESS:
        return _positive(context.format.bits) if context.format is not None else None
    return None


def _of_video(stream: VideoStream | None) -> dict[str, Any]:
    if stream is None or stream.codec_context is None:
        names = ("resolution_width", "resolution_height", "frame_rate", "frame_count", "aspect_ratio")
        return dict.fromkeys(names)
    rate = stream.average_rate or stream.guessed_rate
    shape = stream.display_aspect_ratio
    return {
        "resolution_width": _positive(stream.codec_context.width),
        "resolution_height": _positive(stream.codec_context.height),
        "frame_rate": round(float(rate), 3) if rate else None,
        "frame_count": _positive(stream.frames),
        "aspect_ratio": f"{shape.numerator}:{shape.denominator}"[:20] if shape else None,
    }


def _positive(number: int) -> int | None:
    return number if 0 < number <= _MOST_INTEGER else None


def _tags(container: InputContainer, *streams: Stream | None) -> dict[str, str]:
    """By their names in lower case; the file's own come before those of its tracks."""
    found: dict[str, str] = {}
    for owner in (container, *streams):
        for name, value in _clean(owner.metadata).items() if owner is not None else ():
            found.setdefault(name.lower(), value)
    return found


def _clean(metadata: Mapping[str, str]) -> dict[str, str]:
    """What Postgres can hold: no NUL, nothing that isn't Unicode, not without end."""
    cleaned = ((_text(name)[:255], _text(value)) for name, value in list(metadata.items())[:_MOST_TAGS])
    return {name: value for name, value in cleaned if name and value}


def _text(text: str) -> str:
    return text.replace("\0", "").encode(errors="replace").decode()[:_LONGEST_TAG].strip()


def _found(column: str, tags: Mapping[str, str]) -> str | datetime | None:
    """The first tag that fits the column."""
    for name in _NAMES[column]:
        value = tags.get(name)
        if value is not None:
            found = _moment(value) if column in _DATES else value[: _length(column)]
            if found:
                return found
    return None


def _length(column: str) -> int | None:
    length: int | None = getattr(MediaFile.__table__.c[column].type, "length", None)
    return length


def _moment(text: str) -> datetime | None:
    """ISO 8601, or a year alone; a time without a zone is taken for UTC."""
    try:
        moment = datetime.fromisoformat(f"{text}-01-01" if _YEAR.fullmatch(text) else text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _raw(container: InputContainer) -> dict[str, Any]:
    """All that the file says, for those who look for more."""
    raw: dict[str, Any] = {
        "format": {
            "name": container.format.name,
            "long_name": container.format.long_name,
            "duration": _duration(container),
            "size": container.size,
            "bit_rate": container.bit_rate,
            "tags": _clean(container.metadata),
        },
        "streams": [_raw_stream(stream) for stream in list(container.streams)[:_MOST_TAGS]],
    }
    if len(json.dumps(raw)) > _MOST_RAW:
        for part in (raw["format"], *raw["streams"]):
            part["tags"] = {}
    return raw


def _raw_stream(stream: Stream) -> dict[str, Any]:
    seconds = float(stream.duration * stream.time_base) if stream.duration and stream.time_base else None
    return {
        "index": stream.index,
        "type": stream.type,
        "codec": _codec(stream),
        "profile": stream.profile if _codec(stream) else None,
        "language": _text(stream.language or "") or None,
        "duration": seconds if seconds is not None and math.isfinite(seconds) else None,
        "bit_rate": getattr(stream.codec_context, "bit_rate", None),
        "frames": stream.frames,
        "default": bool(stream.disposition & Disposition.default),
        "tags": _clean(stream.metadata),
    }
