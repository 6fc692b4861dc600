"""What happens to every request: an id, one log line, an answer even where we fail, and no slash too many."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING
from uuid import uuid4

import structlog
from starlette.datastructures import MutableHeaders
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse

from app.core.logging import bound

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_ID = "X-Request-ID"
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ASKED_BY_MACHINES = ("/health", "/ready", "/metrics")
_log = structlog.stdlib.get_logger("app.requests")


class TrailingSlashes:
    """Below /api a path is the same with and without a slash at its end."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Takes the slash away; one that is written %2F belongs to a name."""
        if scope["type"] == "http" and scope["path"].startswith("/api/"):
            written = scope.get("raw_path") or scope["path"].encode()
            slashes = len(written) - len(written.rstrip(b"/"))
            scope = {**scope, "path": scope["path"][: len(scope["path"]) - slashes]}
        await self._app(scope, receive, send)


class KnownHosts(TrustedHostMiddleware):
    """Answers 400 to calls by a name that isn't the API's own. Machines that ask for health call it anything."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Looks at the header Host."""
        asked_by_machine = scope["type"] == "http" and scope["path"] in _ASKED_BY_MACHINES
        await (self.app if asked_by_machine else super().__call__)(scope, receive, send)


class Requests:
    """Gives each request an id (the caller's own, if that is one), logs it, and answers 500 where nobody else did."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hands the request on with its id."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Request(scope).headers.get(REQUEST_ID, "")
        request_id = given if _ID.fullmatch(given) else uuid4().hex
        with bound(request_id=request_id):
            await _Exchange(request_id, send).run(self._app, scope, receive)


class _Exchange:
    """One request and its answer."""

    def __init__(self, request_id: str, send: Send) -> None:
        self._id = request_id
        self._send_on = send
        self._status: int | None = None

    async def run(self, app: ASGIApp, scope: Scope, receive: Receive) -> None:
        began = time.perf_counter()
        try:
            await app(scope, receive, self._send)
        except Exception:
            _log.exception("unhandled error", method=scope["method"], path=scope["path"])
            if self._status is not None:
                raise  # half an answer is out: the server cuts the connection, so that nobody takes it for whole
            body = {"detail": "Internal Server Error", "request_id": self._id}
            await JSONResponse(body, 500)(scope, receive, self._send)
        finally:
            self._report(scope, time.perf_counter() - began)

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            MutableHeaders(scope=message)[REQUEST_ID] = self._id
        await self._send_on(message)

    def _report(self, scope: Scope, seconds: float) -> None:
        say = _log.debug if scope["path"] in _ASKED_BY_MACHINES else _log.info
        client = scope.get("client")
        say(
            "request",
            method=scope["method"],
            path=scope["path"],
            status=self._status,
            duration_ms=round(seconds * 1000, 1),
            client=client[0] if client else None,
        )
