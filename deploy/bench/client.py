"""A client that keeps asking while something is done to the stack."""

from __future__ import annotations

import http.client
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from app.core.security import make_token

if TYPE_CHECKING:
    from tests.stacks import Stack

ADMIN_ID = 1
PATH = "/api/files?limit=20"
TIMEOUT_SECONDS = 60


class Client:
    """Asks GET /api/files, one request after the other on a connection that is kept, from entering to leaving."""

    def __init__(self, stack: Stack) -> None:
        key = (stack.state / "secrets" / "jwt_secret").read_text().strip()
        self._headers = {"Authorization": f"Bearer {make_token(ADMIN_ID, key, timedelta(hours=1))}"}
        self._address = stack.address("api", 8000)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.waits: list[float] = []
        """seconds of each answered request"""
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _ask(self) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=TIMEOUT_SECONDS)
        while not self._ended.is_set():
            began = time.perf_counter()
            try:
                connection.request("GET", PATH, headers=self._headers)
                answer = connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                connection.close()
                continue
            self.waits.append(time.perf_counter() - began)
            if answer.status != http.HTTPStatus.OK:
                self.failures.append(f"{answer.status} {body[:200]!r}")
        connection.close()
