"""A recording that comes in: checked as early as can be, and handed on to the store in pieces."""

from __future__ import annotations

import mimetypes
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from anyio import CancelScope, CapacityLimiter, to_thread
from fastapi import HTTPException

from app.api.multipart import Form, Malformed, Part

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.requests import Request

    from app.storage.media_store import Incoming

FIELD = "file"
_PIECE_BYTES = 1024**2
_OTHER_BYTES = 1024**2
"""What a form may hold beside the recording: boundaries, headers, other fields."""
_DISCARDED_BYTES = 8 * 1024**2
"""So much of a refused body is read, so that a client that isn't done sending it gets the answer."""
_WRITERS = CapacityLimiter(8)
"""Uploads that wait for a slow store do so here, not in the threads of all other requests."""
_LONGEST_NAME = 255
_LONGEST_TYPE = 100
MEDIA_TYPE = re.compile(r"(audio|video)/[a-z0-9][a-z0-9!#$&^_.+-]*")
_TYPES = mimetypes.MimeTypes()
"""Python's own list, whatever the machine has in /etc."""
for _suffix, _type in {
    ".3gp": "video/3gpp",
    ".aac": "audio/aac",
    ".aiff": "audio/aiff",
    ".amr": "audio/amr",
    ".caf": "audio/x-caf",
    ".flac": "audio/flac",
    ".flv": "video/x-flv",
    ".m4a": "audio/mp4",
    ".m4v": "video/mp4",
    ".mka": "audio/x-matroska",
    ".mkv": "video/x-matroska",
    ".mts": "video/mp2t",
    ".oga": "audio/ogg",
    ".ogg": "audio/ogg",
    ".ogv": "video/ogg",
    ".opus": "audio/ogg",
    ".ts": "video/mp2t",
    ".wma": "audio/x-ms-wma",
    ".wmv": "video/x-ms-wmv",
}.items():
    _TYPES.add_type(_type, _suffix)


@dataclass
class Received:
    """A recording whose bytes are all in the store, durable, under no key yet."""

    filename: str
    content_type: str
    incoming: Incoming


@asynccontextmanager
async def received(request: Request, limit: int, begin: Callable[[str], Incoming]) -> AsyncIterator[Received]:
    """The recording in the body's field `file`; `begin` makes the place for it, and is told what it is called.

    What isn't kept inside the block is discarded after it, whatever happens. Raises `HTTPException` for what can't be
    accepted (413, 415, 422), `ClientDisconnect`, and what the store raises.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit + _OTHER_BYTES:
        refuse_size(limit)
    reception = _Reception(limit, begin)
    try:
        yield await reception.run(request)
    finally:
        with CancelScope(shield=True):
            await reception.discard()


async def drained(request: Request, limit: int) -> None:
    """Reads a body that isn't needed to its end. Raises a 413 for one longer than the limit."""
    count = 0
    async for data in request.stream():
        count += len(data)
        if count > limit + _OTHER_BYTES:
            refuse_size(limit)


def refuse_size(limit: int) -> NoReturn:
    """Raises a 413."""
    raise HTTPException(413, f"A recording may have {limit} bytes at most")


class _Reception:
    """One recording on its way."""

    def __init__(self, limit: int, begin: Callable[[str], Incoming]) -> None:
        self._limit = limit
        self._begin = begin
        self._received: Received | None = None
        self._is_in_file = False
        self._piece = bytearray()
        self._other_bytes = 0

    async def run(self, request: Request) -> Received:
        body = request.stream()
        try:
            recording = await self._read(body, request.headers.get("content-type", ""))
        except Malformed as error:
            await _read_some(body)
            raise HTTPException(422, str(error)) from None
        except HTTPException:
            await _read_some(body)
            raise
        await self._write()
        await to_thread.run_sync(recording.incoming.finish, limiter=_WRITERS)
        return recording

    async def discard(self) -> None:
        if self._received is not None:
            await to_thread.run_sync(self._received.incoming.discard)

    async def _read(self, body: AsyncIterator[bytes], content_type: str) -> Received:
        form = Form(content_type)
        async for data in body:
            self._other_bytes += len(data)
            for found in form.feed(data):
                await self._take(found)
            if self._other_bytes > _OTHER_BYTES:
                raise Malformed(f"the form holds too much beside the field `{FIELD}`")
        form.end()
        if self._received is None:
            raise Malformed(f"the form has no field `{FIELD}` with a file")
        return self._received

    async def _take(self, found: Part | bytes) -> None:
        if isinstance(found, Part):
            self._is_in_file = found.name == FIELD
            if self._is_in_file:
                await self._start(found)
        elif self._is_in_file:
            await self._add(found)

    async def _start(self, part: Part) -> None:
        if self._received is not None:
            raise Malformed(f"the form has several fields `{FIELD}`; send one recording at a time")
        if part.filename is None and not part.content_type:
            raise Malformed(f"the field `{FIELD}` is no file")
        filename = name_of(part.filename or "")
        content_type = type_of(part.content_type, filename)
        if content_type is None:
            raise HTTPException(415, f"{part.content_type or 'A file without a type'} is neither audio nor video")
        incoming = await to_thread.run_sync(self._begin, filename, limiter=_WRITERS)
        self._received = Received(filename, content_type, incoming)

    async def _add(self, data: bytes) -> None:
        assert self._received is not None  # noqa: S101 - `_start` comes before
        self._other_bytes -= len(data)
        self._piece += data
        if self._received.incoming.size + len(self._piece) > self._limit:
            refuse_size(self._limit)
        if len(self._piece) >= _PIECE_BYTES:
            await self._write()

    async def _write(self) -> None:
        if self._received is not None and self._piece:
            piece, self._piece = bytes(self._piece), bytearray()
            await to_thread.run_sync(self._received.incoming.write, piece, limiter=_WRITERS)


async def _read_some(body: AsyncIterator[bytes]) -> None:
    count = 0
    async for data in body:
        count += len(data)
        if count > _DISCARDED_BYTES:
            return


def name_of(given: str) -> str:
    """What a file is called: without folders and control characters, 255 characters at most, never empty."""
    base = re.split(r"[/\\]", given)[-1]
    words = " ".join("".join(each if each.isprintable() else " " for each in base).split())
    if len(words) > _LONGEST_NAME:
        stem, point, suffix = words.rpartition(".")
        end = point + suffix if 0 < len(suffix) < len(stem) and len(suffix) < _LONGEST_NAME // 2 else ""
        words = words[: _LONGEST_NAME - len(end)] + end
    return words if words.strip(". ") else "recording"


def type_of(given: str, filename: str) -> str | None:
    """The media type, if it is audio or video: as the client says; as the name does, where the client doesn't know."""
    if not given or given.startswith(("application/", "binary/")):
        given = _TYPES.guess_type(filename.lower(), strict=True)[0] or ""
    return given if len(given) <= _LONGEST_TYPE and MEDIA_TYPE.fullmatch(given) else None
