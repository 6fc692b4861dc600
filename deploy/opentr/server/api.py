"""The API of an environment, called as one of its users (the REST surface under /api)."""

from __future__ import annotations

import io
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, Any, Self, cast

import httpx2

from opentr.errors.transcribe import ApiNotRunning, ApiRefused, ApiSilent, LoginRefused, RecordingUnusable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from opentr.credentials import Secret

_TIMEOUT = httpx2.Timeout(60, connect=5)
_UPLOAD_TIMEOUT = httpx2.Timeout(60, connect=5, read=300)
"""Seconds. What was uploaded must reach the disk, or another machine, before there is an answer."""
_AWAY = (500, 502, 503, 504)
"""What a service answers, or the proxy before it, that may answer better in a moment."""
_TASKS_A_PAGE = 100
_NEXT_CURSOR = "X-Next-Cursor"

Json = dict[str, Any]


@dataclass(frozen=True)
class Account:
    """Who calls, and what one types to call again as the same."""

    environment: str
    email: str
    password: Secret
    command: str


class Api:
    """A connection; a token that has ended is replaced by a new one. Entering raises ApiNotRunning.

    Its methods raise ApiSilent where no answer comes, or one that says that the service can't answer now, and
    ApiRefused for every other answer that isn't success.
    """

    def __init__(self, find: Callable[[], str | None], account: Account, host: str | None = None) -> None:
        """`find` gives host:port, None if there is none; it may be another one after a restart.

        `host` is the name that it wants to be called by, where it doesn't listen to each.
        """
        self.account = account
        self._find = find
        # trust_env: what is to go through a proxy to the world doesn't concern our own services.
        self._client = httpx2.Client(timeout=_TIMEOUT, trust_env=False)
        if host:
            self._client.headers["Host"] = host

    def __enter__(self) -> Self:
        if not self._move():
            raise ApiNotRunning(self.account.environment)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def log_in(self) -> None:
        """Get a token. Raises LoginRefused."""
        form = {"username": self.account.email, "password": self.account.password.reveal()}
        answer = self._answer("POST", "/auth/token", data=form)
        if answer.is_error:
            wait = answer.headers.get("Retry-After")
            raise LoginRefused(self.account.email, said(answer), self.account.command, wait)
        self._client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def await_answer(self) -> None:
        """Return if it answers at all."""
        self._ask("GET", "/users/me")

    def upload(self, path: Path, key: str, sent: Callable[[int, int], None]) -> Json:
        """Send a file; the new recording. The same key again gives the same recording, and no second one.

        `sent` is told of bytes: how many have gone, of how many. Raises RecordingUnusable if the file can't be read.
        """
        with _reading(path, sent) as file:
            # A name that isn't text in this machine's encoding is sent with ? for what isn't.
            name = path.name.encode("utf-8", "replace").decode()
            files = {"file": (name, cast("IO[bytes]", file))}
            answer = self._ask("POST", "/files", files=files, headers={"Idempotency-Key": key}, timeout=_UPLOAD_TIMEOUT)
        return _object(answer)

    def recording(self, file_id: int) -> Json:
        """A recording with its transcript."""
        return _object(self._ask("GET", f"/files/{file_id}"))

    def transcription_of(self, file_id: int) -> Json | None:
        """The newest task that transcribes a recording; None if there is none."""
        query: dict[str, str | int] = {"media_file_id": file_id, "limit": _TASKS_A_PAGE}
        while True:
            answer = self._ask("GET", "/tasks", params=query)
            for task in cast("list[Json]", answer.json()):
                if task["media_file_id"] == file_id and task["task_type"] == "transcription":
                    return task
            if not (cursor := answer.headers.get(_NEXT_CURSOR)):
                return None
            query["cursor"] = cursor

    def task(self, task_id: str) -> Json:
        """A task as it is now."""
        return _object(self._ask("GET", f"/tasks/{task_id}"))

    def cancel(self, task_id: str) -> Json:
        """End a task that isn't finished."""
        return _object(self._ask("POST", f"/tasks/{task_id}/cancel"))

    def _move(self) -> bool:
        """Call it where it is now; whether it is anywhere."""
        if address := self._find():
            self._client.base_url = httpx2.URL(f"http://{address}/api")
        return bool(address)

    def _ask(self, method: str, path: str, **given: Any) -> httpx2.Response:  # noqa: ANN401 - what httpx2 takes
        answer = self._answer(method, path, **given)
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            self.log_in()
            answer = self._answer(method, path, **given)
        if answer.is_error:
            raise ApiRefused(answer.status_code, said(answer), answer.headers.get("Retry-After"))
        return answer

    def _answer(self, method: str, path: str, **given: Any) -> httpx2.Response:  # noqa: ANN401 - as above
        try:
            answer = self._client.request(method, path, **given)
        except httpx2.TransportError as error:
            self._move()
            raise ApiSilent(self.account.environment, str(error) or type(error).__name__) from None
        if answer.status_code in _AWAY:
            raise ApiSilent(self.account.environment, said(answer))
        return answer


def said(answer: httpx2.Response) -> str:
    """The reason in an answer, in the API's words; the status in words where it gives none."""
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return f"{answer.status_code} {answer.reason_phrase}"
    if isinstance(detail, list):  # a field each: FastAPI's form
        return "; ".join(f"{each['loc'][-1]}: {each['msg']}" for each in detail)
    return str(detail)


def _object(answer: httpx2.Response) -> Json:
    return cast("Json", answer.json())


@contextmanager
def _reading(path: Path, sent: Callable[[int, int], None]) -> Iterator[_Counted]:
    try:
        with path.open("rb") as file:
            yield _Counted(file, path, sent)
    except OSError as error:
        raise RecordingUnusable(path, error.strerror or str(error)) from None


class _Counted(io.RawIOBase):
    """A file of the size that it had when it was opened, which tells how much of it has been read."""

    def __init__(self, file: IO[bytes], path: Path, sent: Callable[[int, int], None]) -> None:
        self._file = file
        self._path = path
        self._sent = sent
        self._size = file.seek(0, io.SEEK_END)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(self._size if whence == io.SEEK_END else offset)

    def read(self, size: int = -1) -> bytes:
        left = self._size - self._file.tell()
        part = self._file.read(min(size, left) if size >= 0 else left)
        if left and not part:
            raise RecordingUnusable(self._path, "it became shorter while it was read")
        self._sent(self._file.tell(), self._size)
        return part
