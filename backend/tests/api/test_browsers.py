"""Pages of other hosts, names of hosts, and bodies of any size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fastapi.testclient import TestClient

from app.api.bodies import MOST_BYTES, STRANGERS_BYTES
from app.main import create_app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from app.core.config import Settings
    from tests.api.conftest import Person

pytestmark = pytest.mark.parametrize("application", ["pooled"], indirect=True)  # as in production

PAGE = "https://app.example.org"


def test_pages_that_the_settings_name_may_call_the_api(settings_with: Callable[..., Settings]) -> None:
    client = TestClient(create_app(settings_with(CORS_ORIGINS=f"{PAGE}, https://other.example.org")))
    asked = {"Origin": PAGE, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization"}
    preflight = client.options("/api/files/1", headers=asked)
    assert preflight.status_code == 200
    assert preflight.headers["Access-Control-Allow-Origin"] == PAGE
    assert "PUT" in preflight.headers["Access-Control-Allow-Methods"]
    answer = client.get("/api/files", headers={"Origin": PAGE})
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (401, PAGE)
    assert "X-Next-Cursor" in answer.headers["Access-Control-Expose-Headers"]
    for other in ("https://evil.example.org", "null", f"{PAGE}.evil.example"):
        assert "Access-Control-Allow-Origin" not in client.get("/api/files", headers={"Origin": other}).headers


def test_without_settings_no_page_may(client: TestClient) -> None:
    assert "Access-Control-Allow-Origin" not in client.get("/api/files", headers={"Origin": PAGE}).headers


def test_only_the_hosts_that_the_settings_name_are_answered(settings_with: Callable[..., Settings]) -> None:
    client = TestClient(create_app(settings_with(ALLOWED_HOSTS="api.example.org *.example.net")))
    statuses = {
        host: client.get("/api/files", headers={"Host": host}).status_code
        for host in ("api.example.org", "api.example.org:8443", "a.example.net", "example.net", "evil.org", "")
    }
    assert statuses == {
        "api.example.org": 401,
        "api.example.org:8443": 401,
        "a.example.net": 401,
        "example.net": 400,
        "evil.org": 400,
        "": 400,
    }
    assert client.get("/health", headers={"Host": "127.0.0.1"}).status_code == 200


def test_strangers_send_nothing_large_that_would_be_read_before_they_are_asked_who_they_are(
    client: TestClient, ann: Person
) -> None:
    content = b"[" * STRANGERS_BYTES + b"]"
    form = {"username": "ann@example.org", "password": "x" * STRANGERS_BYTES}
    assert client.post("/api/auth/token", data=form).status_code == 413
    for headers in ({}, {"Authorization": "Bearer x"}):
        for path in ("/api/auth/register", "/api/comments/"):
            assert client.post(path, content=content, headers=headers).status_code == 413
            assert client.post(path, content=iter([content]), headers=headers).status_code == 413
    assert ann.api.post("/api/comments", content=content).status_code in (400, 422)


def test_a_body_that_is_too_large_is_413_whether_it_says_so_or_not(ann: Person) -> None:
    def parts() -> Iterator[bytes]:
        yield b"["
        for _ in range(MOST_BYTES // 1024 + 1):
            yield b" " * 1024

    for content in (b"[" + b" " * MOST_BYTES, parts()):
        answer = ann.api.put("/api/files/1/transcript", content=content)
        assert answer.status_code == 413
        assert answer.json()["detail"]
    said = {"Content-Length": "9" * 400}
    assert ann.api.post("/api/tags", headers=said).status_code == 413
    json = {"Content-Type": "application/json"}
    most = b" " * (MOST_BYTES - 2) + b"[]"
    assert ann.api.put("/api/files/1/transcript", content=most, headers=json).status_code == 404
