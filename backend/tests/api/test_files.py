from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.orm import Session

from app.db import base, connect
from app.db.base import get_db
from tests.recordings import add_file, add_user

if TYPE_CHECKING:
    from fastapi.testclient import TestClient
    from sqlalchemy import Engine

    from app.models import User

START = datetime(2025, 5, 1, tzinfo=UTC)


@pytest.fixture
def names(application: Engine, user: User) -> list[str]:
    """The names of the user's seven files, newest first; two are of the same moment. Somebody else has one too."""
    with Session(application) as session:
        for number in range(7):
            hours = timedelta(hours=min(number, 5))
            add_file(session, user, filename=f"{number}.mp3", upload_time=START + hours, metadata_raw={"a": [None]})
        add_file(session, add_user(session), filename="theirs.mp3")
        session.commit()
    return [f"{number}.mp3" for number in reversed(range(7))]


def shown(client: TestClient, path: str) -> list[str]:
    answer = client.get(path)
    assert answer.status_code == 200
    return [each["filename"] for each in answer.json()]


@pytest.mark.parametrize("path", ["/api/files", "/api/files/"])
def test_files_are_the_users_own_newest_first_as_a_plain_array(
    signed_in: TestClient, names: list[str], path: str
) -> None:
    assert shown(signed_in, path) == names
    first = signed_in.get(path).json()[0]
    assert (first["status"], first["metadata_raw"]) == ("pending", {"a": [None]})
    assert datetime.fromisoformat(first["upload_time"]) == START + timedelta(hours=5)


def test_pages_show_each_file_once_and_the_last_has_no_cursor(signed_in: TestClient, names: list[str]) -> None:
    seen: list[str] = []
    words: dict[str, str | int] = {"limit": 3}
    sizes = []
    while True:
        answer = signed_in.get("/api/files", params=words)
        sizes.append(len(answer.json()))
        seen += [each["filename"] for each in answer.json()]
        if "X-Next-Cursor" not in answer.headers:
            break
        words["cursor"] = answer.headers["X-Next-Cursor"]
    assert (seen, sizes) == (names, [3, 3, 1])


@pytest.mark.parametrize("words", ["limit=0", "limit=1001", "limit=x", "cursor=nonsense", "limit=2&cursor=AAAA"])
def test_a_page_that_can_not_be_is_422_with_a_reason(signed_in: TestClient, words: str) -> None:
    answer = signed_in.get(f"/api/files?{words}")
    assert answer.status_code == 422
    assert answer.json()["detail"]


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic YTpi"}])
def test_without_a_token_it_is_401(client: TestClient, header: dict[str, str]) -> None:
    answer = client.get("/api/files", headers=header)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_another_session_may_be_given_in_place_of_ours(
    signed_in: TestClient, names: list[str], session: Session
) -> None:
    signed_in.app.dependency_overrides[get_db] = lambda: session  # type: ignore[attr-defined]
    assert shown(signed_in, "/api/files") == names
    assert session.in_transaction()


def test_without_a_database_it_is_503_and_no_traceback(signed_in: TestClient, application: Engine) -> None:

    nowhere = connect.engine_for(application.url.set(port=1), application_name="tests")
    base.SessionLocal.configure(bind=nowhere)
    answer = signed_in.get("/api/files")
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json() == {"detail": "The database is not available; try again"}
    assert "127.0.0.1" not in answer.text


def test_an_unknown_path_is_404(client: TestClient) -> None:
    assert client.get("/api/nothing").status_code == 404
