"""Playing recordings: whole, in ranges, by address; from a folder and from a bucket."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update
from sqlalchemy.orm import Session

from app.core.security import make_stream_token, make_token
from app.main import create_app
from app.models import MediaFile, User
from tests.recordings import add_file, add_user
from tests.s3_server import own_s3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Engine

    from app.core.config import Settings
    from tests.s3_server import S3Server

SOUND = os.urandom(1_500_000)
SIZE = len(SOUND)


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with own_s3() as server:
        yield server


@pytest.fixture(params=["volume", "bucket"])
def listener(
    request: pytest.FixtureRequest, settings_with: Callable[..., Settings], user: User, tmp_path: Path
) -> Iterator[TestClient]:
    """The user, on an instance with each kind of store."""
    others = request.getfixturevalue("s3").settings(tmp_path) if request.param == "bucket" else {}
    app = create_app(settings_with(**others))
    with TestClient(app) as client:
        client.headers["Authorization"] = f"Bearer {token(client, user.id)}"
        yield client


def token(client: TestClient, user_id: int) -> str:
    state = client.app.state  # type: ignore[attr-defined]
    return make_token(user_id, state.signing_key, state.token_lifetime)


@pytest.fixture
def path(listener: TestClient) -> str:
    """Where an uploaded recording can be heard."""
    answer = listener.post("/api/files", files={"file": ('größe "1".mp3', SOUND, "audio/mpeg")})
    assert answer.status_code == 200
    return f"/api/files/{answer.json()['id']}/content"


def test_it_is_what_was_uploaded_and_can_not_run_in_a_browser(listener: TestClient, path: str) -> None:
    answer = listener.get(path)
    assert (answer.status_code, answer.content) == (200, SOUND)
    assert (answer.headers["Content-Length"], answer.headers["Accept-Ranges"]) == (str(SIZE), "bytes")
    assert (answer.headers["Content-Type"], answer.headers["X-Content-Type-Options"]) == ("audio/mpeg", "nosniff")
    assert answer.headers["Content-Disposition"] == "inline; filename*=UTF-8''gr%C3%B6%C3%9Fe%20%221%22.mp3"
    for range_, part in (("bytes=1000000-1000009", SOUND[1_000_000:1_000_010]), ("bytes=-3", SOUND[-3:])):
        answer = listener.get(path, headers={"Range": range_})
        assert (answer.status_code, answer.content) == (206, part)


@pytest.fixture
def heard(signed_in: TestClient) -> str:
    """The address of a recording of 10 bytes."""
    answer = signed_in.post("/api/files", files={"file": ("a.mp3", b"0123456789", "audio/mpeg")})
    return f"/api/files/{answer.json()['id']}/content"


def test_players_jump_by_ranges(signed_in: TestClient, heard: str) -> None:
    def ask(header: str) -> tuple[int, str, str]:
        answer = signed_in.get(heard, headers={"Range": header})
        assert answer.headers["Content-Length"] == str(len(answer.content))
        return answer.status_code, answer.text, answer.headers.get("Content-Range", "")

    for header in ("bytes=0-", "bytes=0-9", "bytes=0-99999999999999", "bytes=-10", "bytes=-11", "bytes = 0 - 9"):
        assert ask(header) == (206, "0123456789", "bytes 0-9/10")
    assert ask("bytes=2-4") == (206, "234", "bytes 2-4/10")
    assert ask("bytes=9-") == (206, "9", "bytes 9-9/10")
    assert ask("bytes=-1") == (206, "9", "bytes 9-9/10")
    for header in ("bytes=10-", "bytes=10-20", "bytes=-0"):
        assert ask(header) == (416, "", "bytes */10")
    for header in ("bytes=4-2", "bytes=-", "bytes=a-b", "lines=0-1", "bytes=0-1,3-4", "", "bytes=1-" + "9" * 30):
        assert ask(header) == (200, "0123456789", "")


def test_what_the_client_has_is_not_sent_again(signed_in: TestClient, heard: str) -> None:
    etag = signed_in.get(heard).headers["ETag"]
    for known in (etag, f'"x", {etag}', f"W/{etag}", "*"):
        answer = signed_in.get(heard, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", etag)
    assert signed_in.get(heard, headers={"If-None-Match": '"x"'}).status_code == 200
    for condition, status in ((etag, 206), ('"x"', 200)):
        assert signed_in.get(heard, headers={"Range": "bytes=1-2", "If-Range": condition}).status_code == status


def test_its_head_says_how_long_it_is(signed_in: TestClient, heard: str) -> None:
    for path in (heard, f"{heard}/"):
        answer = signed_in.head(path)
        assert (answer.status_code, answer.content, answer.headers["Content-Length"]) == (200, b"", "10")


def test_an_address_for_players_needs_no_header_and_opens_one_recording(signed_in: TestClient, heard: str) -> None:
    url = signed_in.get(heard.replace("content", "stream-url")).json()["url"]
    other = signed_in.post("/api/files", files={"file": ("b.mp3", b"other", "audio/mpeg")}).json()["id"]
    del signed_in.headers["Authorization"]
    assert signed_in.get(url).text == "0123456789"
    assert signed_in.get(url, headers={"Range": "bytes=1-2"}).text == "12"
    assert signed_in.get(url[:-3]).status_code == 401
    query = url.partition("?")[2]
    assert signed_in.get(f"/api/files/{other}/content?{query}").status_code == 401
    assert signed_in.get("/api/files", headers={"Authorization": f"Bearer {query[6:]}"}).status_code == 401


def test_a_login_is_no_address_and_an_old_address_is_none(signed_in: TestClient, heard: str, user: User) -> None:
    login = signed_in.headers.pop("Authorization").removeprefix("Bearer ")
    assert signed_in.get(heard, params={"token": login}).status_code == 401
    key, file_id = signed_in.app.state.signing_key, int(heard.split("/")[3])  # type: ignore[attr-defined]
    old = make_stream_token(user.id, file_id, key, timedelta(minutes=-1))
    assert signed_in.get(heard, params={"token": old}).status_code == 401
    assert signed_in.get(heard).status_code == 401


def test_a_user_who_may_not_log_in_any_more_hears_nothing(
    signed_in: TestClient, heard: str, application: Engine
) -> None:
    url = signed_in.get(heard.replace("content", "stream-url")).json()["url"]
    with Session(application) as session:
        session.execute(update(User).values(is_active=False))
        session.commit()
    assert signed_in.get(heard).status_code == 401
    assert signed_in.get(url).status_code == 404


def test_anothers_recording_is_404(client: TestClient, signed_in: TestClient, heard: str, application: Engine) -> None:
    with Session(application) as session:
        stranger = add_user(session).id
        session.commit()
    headers = {"Authorization": f"Bearer {token(signed_in, stranger)}"}
    for path in (heard, heard.replace("content", "stream-url"), "/api/files/999999/content"):
        assert client.get(path, headers=headers).status_code == 404


def test_recordings_of_older_instances_still_play(
    signed_in: TestClient, user: User, application: Engine, tmp_path: Path
) -> None:
    for storage_path, kind, shown in (
        ("user_1/file_1/old name.MP3", "audio/mpeg", "audio/mpeg"),
        ("old.html", "text/html", "application/octet-stream"),
    ):
        file = tmp_path / "media" / storage_path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"of old")
        with Session(application) as session:
            file_id = add_file(session, user, storage_path=storage_path, content_type=kind).id
            session.commit()
        answer = signed_in.get(f"/api/files/{file_id}/content")
        assert (answer.text, answer.headers["Content-Type"]) == ("of old", shown)


@pytest.mark.parametrize("storage_path", ["user_1/gone.mp3", "../key", "/etc/passwd", "link.mp3", "user_1"])
def test_a_row_leads_to_no_file_outside_of_the_store(
    signed_in: TestClient, user: User, application: Engine, tmp_path: Path, storage_path: str
) -> None:
    (tmp_path / "media" / "link.mp3").symlink_to(tmp_path / "key")
    (tmp_path / "media" / "user_1").mkdir(exist_ok=True)
    with Session(application) as session:
        file_id = add_file(session, user, storage_path=storage_path).id
        session.commit()
    answer = signed_in.get(f"/api/files/{file_id}/content")
    assert (answer.status_code, answer.json()["detail"]) == (404, "The recording's bytes are not in the media store")


def test_no_connection_is_held_while_it_plays(signed_in: TestClient, heard: str, application: Engine) -> None:
    with Session(application) as session:
        session.execute(update(MediaFile).values(filename="b.mp3"))
        session.commit()
    with signed_in.stream("GET", heard):
        assert application.pool.checkedout() == 0  # type: ignore[attr-defined]
