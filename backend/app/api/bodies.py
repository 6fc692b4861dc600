"""No request but an upload is large: what is larger is refused before it fills the memory."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fastapi.security.utils import get_authorization_scheme_param
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from app.core.security import read_token

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 8 * 1024**2
"""The corrections of a whole day's transcript. JSON that was read takes up to 26 times its size in memory."""
STRANGERS_BYTES = 64 * 1024
"""For who has no token: bodies are read before endpoints ask who sends them, and a few large ones fill the memory."""

_UPLOADS = ("POST", "/api/files")
_LARGE = re.compile("[0-9]{5,}")


class SmallBodies:
    """Answers 413 to a body that is too large; uploads have a limit of their own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Counts what is received."""
        if scope["type"] != "http" or (scope["method"], scope["path"]) == _UPLOADS:
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        most = MOST_BYTES if _has_token(request) else STRANGERS_BYTES
        announced = request.headers.get("Content-Length", "0")
        if _LARGE.fullmatch(announced) and int(announced[:20]) > most:
            await JSONResponse({"detail": _refusal(most)}, 413)(scope, receive, send)
        else:
            await self._app(scope, _counted(receive, most), send)


def _has_token(request: Request) -> bool:
    """Whether we have signed what it says; whose it is, the endpoint asks."""
    _, token = get_authorization_scheme_param(request.headers.get("Authorization"))
    return read_token(token, request.app.state.signing_key) is not None


def _refusal(most: int) -> str:
    return f"A request may have {most} bytes at most{', without a token' if most == STRANGERS_BYTES else ''}"


def _counted(receive: Receive, most: int) -> Receive:
    received = 0

    async def receive_on() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > most:
            raise HTTPException(413, _refusal(most))
        return message

    return receive_on
