"""An API for the tests of its clients: a real server, with as much of the contract as they use, that can misbehave."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

EMAIL, PASSWORD = "ann@example.com", "correct horse"
SPEAKER = {"name": "Speaker 1", "display_name": None}
SEGMENTS = [
    {"start_time": 0.0, "end_time": 3.9, "text": " Hello\x1b[2J there.", "speaker": SPEAKER},
    {"start_time": 3721.5, "end_time": 3725.0, "text": "Good bye.", "speaker": None},
]
Answer = tuple[int, Any]


@dataclass
class Service:
    """What the server knows, and how it is to behave."""

    logins: int = 0
    called_by: set[str] = field(default_factory=set)
    """the names in the headers Host"""
    tokens: set[str] = field(default_factory=set)
    files: list[dict[str, Any]] = field(default_factory=list)
    keys: dict[str, int] = field(default_factory=dict)
    tasks: list[dict[str, Any]] = field(default_factory=list)
    progress: list[float] = field(default_factory=lambda: [0.0, 0.5])
    """what a task tells, one after another, before it ends"""
    fault: str | None = None
    """why tasks fail"""
    refusal: Answer | None = None
    """what an upload is answered with"""
    cuts: int = 0
    """uploads that are cut off halfway"""
    lost_answers: int = 0
    """uploads that are taken, and whose answer gets lost"""
    unavailable: int = 0
    """requests that are answered with 503"""
    on_look: Callable[[], None] = lambda: None
    """called when somebody asks after a task"""

    def log_in(self, form: dict[str, list[str]]) -> Answer:
        self.logins += 1
        if form["password"] != [PASSWORD]:
            return 401, {"detail": "Incorrect email or password"}
        self.tokens.add(f"token-{self.logins}")
        return 200, {"access_token": f"token-{self.logins}", "token_type": "bearer"}

    def take(self, name: str, content: bytes, key: str) -> Answer:
        if key not in self.keys:
            number = self.keys[key] = len(self.files) + 1
            self.files.append({"id": number, "filename": name, "status": "pending", "size": len(content)})
            task = {"id": f"task-{number}", "media_file_id": number, "task_type": "transcription"}
            self.tasks.insert(0, task | {"status": "pending", "progress": 0.0, "error_message": None})
        return 200, self.files[self.keys[key] - 1]

    def look_at(self, task_id: str) -> Answer:
        self.on_look()
        task = next((each for each in self.tasks if each["id"] == task_id), None)
        if task is None:
            return 404, {"detail": "There is no such task"}
        if task["status"] not in ("completed", "failed"):
            if self.progress:
                task |= {"status": "in_progress", "progress": self.progress.pop(0)}
            elif self.fault:
                task |= {"status": "failed", "error_message": self.fault}
            else:
                task |= {"status": "completed", "progress": 1.0}
        return 200, task


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    service: Service

    def do_GET(self):
        path = self.path.partition("?")[0]
        if self.refused():
            return
        match path.removeprefix("/api/").split("/"):
            case ["users", "me"]:
                self.answer(200, {"email": EMAIL})
            case ["tasks"]:
                self.page()
            case ["tasks", task_id]:
                self.answer(*self.service.look_at(task_id))
            case ["files", number]:
                found = [
                    each | {"transcript_segments": SEGMENTS} for each in self.service.files if each["id"] == int(number)
                ]
                self.answer(200, found[0]) if found else self.answer(404, {"detail": "There is no such file"})

    def do_POST(self):
        length = int(self.headers["Content-Length"])
        self.service.called_by.add(self.headers["Host"])
        if self.path == "/api/auth/token":
            self.answer(*self.service.log_in(parse_qs(self.rfile.read(length).decode())))
        elif self.refused():
            self.rfile.read(length)
        elif self.path == "/api/files":
            self.upload(length)
        else:
            task = next(each for each in self.service.tasks if each["id"] == self.path.split("/")[3])
            task |= {"status": "failed", "error_message": "cancelled"}
            self.answer(200, task)

    def upload(self, length: int) -> None:
        if self.service.cuts:
            self.service.cuts -= 1
            self.rfile.read(length // 2)
            self.close_connection = True
            return
        body = self.rfile.read(length)
        if len(body) < length:
            self.close_connection = True
            return
        if self.service.refusal:
            self.answer(*self.service.refusal)
            return
        head, _, rest = body.partition(b"\r\n\r\n")
        name = re.search(rb'filename="(.*)"', head)[1].decode()
        answer = self.service.take(name, rest[: rest.rindex(b"\r\n--")], self.headers["Idempotency-Key"])
        if self.service.lost_answers:
            self.service.lost_answers -= 1
            self.close_connection = True
            return
        self.answer(*answer)

    def page(self) -> None:
        """One task a page, so that who looks must turn pages."""
        query = parse_qs(urlsplit(self.path).query)
        at = int(query.get("cursor", ["0"])[0])
        headers = {"X-Next-Cursor": str(at + 1)} if at + 1 < len(self.service.tasks) else {}
        self.answer(200, self.service.tasks[at : at + 1], headers)

    def refused(self) -> bool:
        if self.service.unavailable:
            self.service.unavailable -= 1
            self.answer(503, {"detail": "the service is not available just now"})
            return True
        if self.headers["Authorization"].removeprefix("Bearer ") not in self.service.tokens:
            self.answer(401, {"detail": "Not authenticated"})
            return True
        return False

    def answer(self, status: int, data: Any, headers: dict[str, str] | None = None) -> None:  # noqa: ANN401
        body = json.dumps(data).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        if status == 429:
            self.send_header("Retry-After", "30")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Tests print nothing."""
