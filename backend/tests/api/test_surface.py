"""Every call of contract §3, with and without the slash at its end: 401 without a token, and never an unknown path."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fastapi.routing import APIRoute

from app.main import ROUTED
from tests.api.conftest import PASSWORD

if TYPE_CHECKING:
    from fastapi.testclient import TestClient

    from app.models import User
    from tests.api.conftest import Person

OPEN = [("POST", "/auth/token"), ("POST", "/auth/login"), ("POST", "/auth/register")]
SIGNED_IN = [
    ("GET", "/auth/me"),
    ("GET", "/users/me"),
    ("PUT", "/users/me"),
    ("POST", "/files"),
    ("GET", "/files"),
    ("GET", "/files/metadata-filters"),
    ("GET", "/files/1"),
    ("PUT", "/files/1"),
    ("DELETE", "/files/1"),
    ("GET", "/files/1/content"),
    ("GET", "/files/1/stream-url"),
    ("PUT", "/files/1/transcript"),
    ("POST", "/files/1/transcribe"),
    ("GET", "/search"),
    ("GET", "/search/advanced"),
    ("GET", "/speakers"),
    ("POST", "/speakers"),
    ("GET", "/speakers/1"),
    ("PUT", "/speakers/1"),
    ("DELETE", "/speakers/1"),
    ("POST", "/speakers/1/merge/2"),
    ("GET", "/comments"),
    ("POST", "/comments"),
    ("GET", "/comments/1"),
    ("PUT", "/comments/1"),
    ("DELETE", "/comments/1"),
    ("GET", "/comments/files/1/comments"),
    ("POST", "/comments/files/1/comments"),
    ("GET", "/tags"),
    ("POST", "/tags"),
    ("POST", "/tags/files/1/tags"),
    ("DELETE", "/tags/files/1/tags/Meeting"),
    ("GET", "/tags/unused"),
    ("DELETE", "/tags/cleanup"),
    ("GET", "/tasks"),
    ("GET", "/tasks/x"),
    ("POST", "/tasks/x/cancel"),
]
ADMINS = [
    ("GET", "/users"),
    ("GET", "/users/1"),
    ("PUT", "/users/1"),
    ("DELETE", "/users/1"),
    ("GET", "/admin/stats"),
    ("GET", "/admin/users"),
    ("POST", "/admin/users"),
    ("DELETE", "/admin/users/1"),
]
NO_SUCH = ["/files/999", "/files/999/content", "/files/999/stream-url", "/speakers/999", "/comments/999", "/tasks/999"]
HUGE = 2**31
BODIES = {
    ("PUT", "/users/1"): {},
    ("POST", "/admin/users"): {"email": "new@example.org", "full_name": "New", "password": PASSWORD},
}


def each(calls: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(method, f"/api{path}{slash}") for method, path in calls for slash in ("", "/")]


def test_every_call_answers_401_without_a_token(client: TestClient) -> None:
    found = {(method, path): client.request(method, path) for method, path in each(SIGNED_IN + ADMINS)}
    assert {answer.status_code for answer in found.values()} == {401}, {
        call: answer.text for call, answer in found.items() if answer.status_code != 401
    }
    assert all(answer.headers["WWW-Authenticate"] == "Bearer" for answer in found.values())
    assert all(isinstance(answer.json()["detail"], str) for answer in found.values())


def test_calls_that_need_no_token_are_there(client: TestClient) -> None:
    assert {client.request(method, path).status_code for method, path in each(OPEN)} == {422}
    assert client.get("/health").status_code == 200


def test_administrators_calls_are_403_for_others(ann: Person) -> None:
    for method, path in each(ADMINS):
        bare = path.removeprefix("/api").rstrip("/")
        answer = ann.api.request(method, path, json=BODIES.get((method, bare)))
        assert (method, path, answer.status_code) == (method, path, 403)


@pytest.mark.parametrize("slash", ["", "/"])
def test_reading_answers_200_with_and_without_the_slash(ann: Person, slash: str) -> None:
    plain = [
        "/auth/me",
        "/users/me",
        "/files",
        "/files/metadata-filters",
        "/speakers",
        "/tags",
        "/tags/unused",
        "/tasks",
    ]
    for path in plain:
        assert ann.api.get(f"/api{path}{slash}").status_code == 200, path
    for path in ("/search", "/search/advanced"):
        assert ann.api.get(f"/api{path}{slash}?q=x").json() == []


def test_what_is_not_there_is_404_and_says_what(ann: Person) -> None:
    for path in NO_SUCH:
        answer = ann.api.get(f"/api{path}")
        assert (path, answer.status_code) == (path, 404)
        assert answer.json()["detail"].startswith("there is no ")


def test_a_number_that_no_id_has_is_422_and_what_is_none_404(boss: Person) -> None:
    calls = [(method, path) for method, path in SIGNED_IN + ADMINS if "/1" in path]
    wrong = dict.fromkeys((0, HUGE, 2**63, 2**64, 10**400), 422) | dict.fromkeys((-1, "x", "1.5", "%00", "NaN"), 404)
    for number, status in wrong.items():
        for method, path in calls:
            answer = boss.api.request(method, f"/api{path.replace('/1', f'/{number}')}", json=[])
            assert (method, path, number, answer.status_code) == (method, path, number, status)


def test_a_method_that_a_path_has_not_is_405(ann: Person) -> None:
    assert ann.api.put("/api/files/metadata-filters", json={}).status_code == 405


def test_the_table_above_has_every_route() -> None:
    routes = [route for module in ROUTED for route in module.router.routes if isinstance(route, APIRoute)]
    routed = [(method, route) for route in routes for method in route.methods - {"HEAD"}]
    below_api = {(method, route.path) for method, route in routed if route.path.startswith("/api/")}
    listed = OPEN + SIGNED_IN + ADMINS
    reached = {
        (method, route.path)
        for method, path in listed
        for other, route in routed
        if method == other and route.path_regex.match(f"/api{path}")
    }
    assert below_api <= reached


def test_the_document_describes_every_error_by_one_model(client: TestClient) -> None:
    document = client.get("/api/openapi.json").json()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for operation in operations:
        for status, answer in operation["responses"].items():
            if status.startswith(("4", "5")) and "content" in answer:
                schema = answer["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/Problem"}, (operation["operationId"], status)


def test_a_login_shows_nothing_of_the_password_that_was_refused(client: TestClient, user: User) -> None:
    new = {"email": user.email, "full_name": "Ann", "password": "s3cret"}
    answer = client.post("/api/auth/register", json=new)
    assert answer.status_code == 422
    assert "s3cret" not in answer.text
