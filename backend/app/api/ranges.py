"""A file as an answer: all of it or one range, so that players can jump (RFC 9110, 14)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, BinaryIO

from starlette.responses import Response, StreamingResponse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from starlette.requests import Request

_PIECE_BYTES = 256 * 1024
_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")


class Unsatisfiable(Exception):
    """The range begins behind the file's end."""


def range_of(header: str, size: int) -> range | None:
    """The bytes that this header asks for; None: all, as for several ranges, other units, and what is no range.

    Raises `Unsatisfiable`.
    """
    found = _RANGE.fullmatch(header.replace(" ", ""))
    if found is None or found[0] == "bytes=-":
        return None
    first, last = found.groups()
    if first and last and int(last) < int(first):
        return None
    asked = range(int(first), min(int(last or size), size - 1) + 1) if first else range(max(size - int(last), 0), size)
    if not asked or asked.start >= size:
        raise Unsatisfiable
    return asked


def file_response(request: Request, file: BinaryIO, etag: str, headers: Mapping[str, str]) -> Response:
    """Answers with the file, or with what the request's Range asks for of it; closes it at the end."""
    size = file.seek(0, 2)
    common = {**headers, "ETag": etag, "Accept-Ranges": "bytes"}
    wanted = request.headers.get("range", "")
    if request.headers.get("if-range", etag) != etag:
        wanted = ""
    try:
        asked = range_of(wanted, size)
    except Unsatisfiable:
        file.close()
        return Response(status_code=416, headers={**common, "Content-Range": f"bytes */{size}"})
    sent = range(size) if asked is None else asked
    common["Content-Length"] = str(len(sent))
    if asked is not None:
        common["Content-Range"] = f"bytes {sent.start}-{sent.stop - 1}/{size}"
    status = 200 if asked is None else 206
    if request.method == "HEAD":
        file.close()
        return Response(status_code=status, headers=common)
    return StreamingResponse(_pieces(file, sent), status, headers=common)


def is_known(request: Request, etag: str) -> bool:
    """Whether the client has what it asks for already (If-None-Match)."""
    known = [each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")]
    return etag in known or "*" in known


def _pieces(file: BinaryIO, sent: range) -> Iterator[bytes]:
    with file:
        file.seek(sent.start)
        left = len(sent)
        while left:
            piece = file.read(min(left, _PIECE_BYTES))
            if not piece:
                raise EOFError(f"the file ends {left} bytes too early")
            left -= len(piece)
            yield piece
