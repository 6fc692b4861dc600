"""Keys of recordings: made from what users call their files, and read from rows."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePosixPath

from app.storage.errors import KeyInvalid

_LONGEST_NAME_BYTES = 120
_LONGEST_SUFFIX = 12
_UNNAMED = "recording"
_NOT_IN_A_NAME = re.compile(r"[^\w.-]+")


def key_for(user_id: int, file_id: int, filename: str) -> str:
    """The key of a new recording; whatever the file is called, it stays in that user's folder."""
    return f"user_{user_id}/file_{file_id}/{clean_name(filename)}"


def clean_name(filename: str) -> str:
    """Letters and digits of any language, points, - and _; 120 bytes at most; never hidden, never empty."""
    words = _NOT_IN_A_NAME.sub("_", unicodedata.normalize("NFC", filename)).strip("._-")
    path = PurePosixPath(words or _UNNAMED)
    suffix = path.suffix if len(path.suffix) <= _LONGEST_SUFFIX and path.suffix.isascii() else ""
    room = _LONGEST_NAME_BYTES - len(suffix)
    stem = path.name.removesuffix(suffix).encode()[:room].decode(errors="ignore")
    return (stem.strip("._-") or _UNNAMED) + suffix


def another(key: str, word: str) -> str:
    """A key beside this one, for a file that has the same name."""
    path = PurePosixPath(key)
    return str(path.with_name(f"{path.stem}-{word}{path.suffix}"))


def parts_of(key: str) -> tuple[str, ...]:
    """The key's parts. Raises `KeyInvalid` for what leads out of the store, or to what the store itself keeps there."""
    parts = tuple(key.split("/"))
    if any(part in ("", ".", "..") for part in parts) or parts[0].startswith(".") or "\0" in key or "\\" in key:
        raise KeyInvalid(key)
    return parts
