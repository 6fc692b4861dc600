"""What can be wrong with a recording, in words that its owner understands, and with the engine.

DbError
├── Unusable
│   ├── FileEmpty, FileMissing, NotMedia, CutOff, Protected, CodecUnknown
│   └── NoSound, NothingInside, OutOfBounds, TooLong
└── EngineUnavailable
"""

from __future__ import annotations

from app.db import errors


class Unusable(errors.DbError):
    """The recording itself is at fault: trying again with the same file changes nothing."""

    def __str__(self) -> str:
        return f"{self.what}; {self.hint}"


class FileEmpty(Unusable):
    """It has no bytes."""

    def __init__(self) -> None:
        super().__init__("the file is empty", "upload it again, or export the recording anew")


class FileMissing(Unusable):
    """The media store has no such file."""

    def __init__(self) -> None:
        super().__init__("the recording's file is no longer in the media store", "upload it again")


class NotMedia(Unusable):
    """No format that we know."""

    def __init__(self) -> None:
        super().__init__("this is neither an audio nor a video file, or it is damaged", "upload another format or copy")


class CutOff(Unusable):
    """The index of the file, which stands at its end, isn't there."""

    def __init__(self) -> None:
        super().__init__("the end of the file is missing, and it can't be read without", "upload the whole file again")


class NoSound(Unusable):
    """A video without an audio track."""

    def __init__(self) -> None:
        super().__init__("the file has pictures, but no sound", "upload a recording with an audio track")


class NothingInside(Unusable):
    """An audio track of no length, or one of which nothing could be decoded."""

    def __init__(self) -> None:
        super().__init__("no moment of the file's sound can be played", "upload another format or copy")


class CodecUnknown(Unusable):
    """Its sound is stored in a way that nothing here can decode."""

    def __init__(self, codec: str) -> None:
        super().__init__(f"its sound is in a format that can't be read here ({codec})", "convert it to MP3 or WAV")


class Protected(Unusable):
    """Encrypted by a shop or a player."""

    def __init__(self) -> None:
        super().__init__("the file is protected against copying", "upload a copy without protection")


class OutOfBounds(Unusable):
    """A number in the file's header that no recording has, and that would cost us our memory."""

    def __init__(self, what: str, most: str) -> None:
        super().__init__(f"the file says that it has {what}", f"upload a copy with {most}")


class TooLong(Unusable):
    """More hours than the instance takes."""

    def __init__(self, longest_seconds: int) -> None:
        limit = f"{longest_seconds / 3600:g} h"
        super().__init__(f"the recording is longer than {limit}, the most that is taken here", "upload it in parts")


class EngineUnavailable(errors.DbError):
    """The engine or its model can't be loaded: nothing is wrong with any recording."""

    def __init__(self, setting: str, value: str, reason: str) -> None:
        super().__init__(
            f"{setting}={value} can't be loaded: {reason}", f"correct {setting}; the README of backend says how"
        )
