"""No request but an upload is large: what is larger is refused before it fills the memory."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 32 * 1024**2
"""The corrections of a whole day's transcript."""

_UPLOADS = ("POST", "/api/files")
_LARGE = re.compile("[0-9]{8,}")
_REFUSAL = f"A request may have {MOST_BYTES} bytes at most"


class SmallBodies:
    """Answers 413 to a body that is too large; uploads have a limit of their own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Counts what is received."""
        if scope["type"] != "http" or (scope["method"], scope["path"]) == _UPLOADS:
            await self._app(scope, receive, send)
            return
        announced = Request(scope).headers.get("Content-Length", "0")
        if _LARGE.fullmatch(announced) and int(announced[:20]) > MOST_BYTES:
            await JSONResponse({"detail": _REFUSAL}, 413)(scope, receive, send)
        else:
            await self._app(scope, _counted(receive), send)


def _counted(receive: Receive) -> Receive:
    received = 0

    async def receive_on() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > MOST_BYTES:
            raise HTTPException(413, _REFUSAL)
        return message

    return receive_on
