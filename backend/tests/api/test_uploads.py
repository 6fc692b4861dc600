"""Uploads: what is accepted is stored whole, with its task; what isn't leaves nothing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.core.config import Settings
from app.core.security import make_token
from app.models import MediaFile, Task
from app.services import messages
from tests.recordings import add_user

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from httpx2 import Response
    from sqlalchemy import Engine

    from app.models import User
    from tests.redis_server import RedisServer

SOUND = os.urandom(2_500_000)


def upload(client: TestClient, name: str = "talk.mp3", data: bytes = SOUND, kind: str = "audio/mpeg") -> Response:
    return client.post("/api/files", files={"file": (name, data, kind)})


def stored(folder: Path) -> list[Path]:
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def rows(application: Engine) -> tuple[int, int]:
    with Session(application) as session:
        files, tasks = (session.scalar(select(func.count()).select_from(model)) for model in (MediaFile, Task))
    return files or 0, tasks or 0


@pytest.fixture
def media(tmp_path: Path) -> Path:
    return tmp_path / "media"


@pytest.fixture
def nothing_stored(application: Engine, media: Path) -> Iterator[None]:
    """Nothing may be left when the test ends."""
    yield
    assert rows(application) == (0, 0)
    assert stored(media) == []


def test_a_recording_is_stored_whole_and_waits_for_its_transcript(
    signed_in: TestClient, user: User, application: Engine, media: Path, broker: RedisServer
) -> None:
    answer = signed_in.post("/api/files/", files={"file": ("talk.mp3", SOUND, "audio/mpeg")})
    assert answer.status_code == 200
    file = answer.json()
    assert (file["filename"], file["content_type"], file["file_size"]) == ("talk.mp3", "audio/mpeg", len(SOUND))
    assert (file["status"], file["user_id"]) == ("pending", user.id)
    assert file["storage_path"] == f"user_{user.id}/file_{file['id']}/talk.mp3"
    assert (media / file["storage_path"]).read_bytes() == SOUND
    assert len(stored(media)) == 1
    with Session(application) as session:
        task = session.scalars(select(Task)).one()
        assert broker.client().llen("celery") == 1
        assert (task.media_file_id, task.task_type, task.status) == (file["id"], "transcription", "pending")


def test_an_empty_recording_is_accepted_and_judged_by_the_worker(signed_in: TestClient) -> None:
    answer = upload(signed_in, data=b"")
    assert (answer.status_code, answer.json()["file_size"]) == (200, 0)


FORM = "multipart/form-data; boundary=b"
PART = 'Content-Disposition: form-data; name="file"; filename="a.mp3"\r\nContent-Type: audio/mpeg\r\n\r\n'
HEAD, TAIL = f"--b\r\n{PART}".encode(), b"\r\n--b--\r\n"


@pytest.mark.usefixtures("nothing_stored")
def test_what_can_not_be_accepted_leaves_nothing(signed_in: TestClient) -> None:
    assert upload(signed_in, kind="text/plain").status_code == 415
    assert signed_in.post("/api/files", files={"other": ("a.mp3", SOUND, "audio/mpeg")}).status_code == 422
    assert signed_in.post("/api/files", content=HEAD + SOUND, headers={"Content-Type": FORM}).status_code == 422
    signed_in.app.state.upload_limit = 1_000_000  # type: ignore[attr-defined]
    assert upload(signed_in).status_code == 413


def test_a_name_can_not_bend_the_key(signed_in: TestClient, media: Path) -> None:
    file = upload(signed_in, "../../user_7/größe 1.mp3").json()
    assert file["filename"] == "größe 1.mp3"
    assert file["storage_path"] == f"user_{file['user_id']}/file_{file['id']}/größe_1.mp3"
    assert (media / file["storage_path"]).read_bytes() == SOUND


@pytest.mark.usefixtures("nothing_stored")
def test_without_a_token_it_is_401(client: TestClient) -> None:
    assert upload(client).status_code == 401


def test_sent_again_with_the_same_key_it_is_stored_once(
    signed_in: TestClient, application: Engine, media: Path
) -> None:
    signed_in.headers["Idempotency-Key"] = "4711"
    first, again = upload(signed_in), upload(signed_in)
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json() == again.json()
    assert (rows(application), len(stored(media))) == ((1, 1), 1)
    signed_in.headers["Idempotency-Key"] = "4712"
    assert upload(signed_in).json()["id"] != first.json()["id"]


def test_of_two_with_one_key_at_the_same_time_one_is_stored(
    signed_in: TestClient, application: Engine, media: Path
) -> None:
    other = TestClient(signed_in.app, headers=signed_in.headers)
    key, first = {"Idempotency-Key": "4711"}, []

    def parts() -> Iterator[bytes]:
        yield HEAD
        first.append(other.post("/api/files", files={"file": ("b.mp3", SOUND, "audio/mpeg")}, headers=key))
        yield SOUND + TAIL

    second = signed_in.post("/api/files", content=parts(), headers={"Content-Type": FORM} | key)
    assert (first[0].status_code, second.status_code) == (200, 200)
    assert first[0].json() == second.json()
    assert (rows(application), len(stored(media))) == ((1, 1), 1)


def test_one_users_key_is_nothing_to_another(signed_in: TestClient, client: TestClient, application: Engine) -> None:
    signed_in.headers["Idempotency-Key"] = "4711"
    mine = upload(signed_in).json()
    with Session(application) as session:
        other = add_user(session)
        session.commit()
        state = client.app.state  # type: ignore[attr-defined]
        token = make_token(other.id, state.signing_key, state.token_lifetime)
    theirs = client.post(
        "/api/files",
        files={"file": ("a.mp3", b"x", "audio/mpeg")},
        headers={"Authorization": f"Bearer {token}", "Idempotency-Key": "4711"},
    )
    assert theirs.status_code == 200
    assert theirs.json()["id"] != mine["id"]


def test_while_the_bytes_come_in_no_connection_is_held(signed_in: TestClient, application: Engine) -> None:
    held: list[int] = []

    def parts() -> Iterator[bytes]:
        yield HEAD
        held.append(application.pool.checkedout())  # type: ignore[attr-defined]
        yield SOUND + TAIL

    answer = signed_in.post("/api/files", content=parts(), headers={"Content-Type": FORM})
    assert (answer.status_code, held) == (200, [0])


@pytest.mark.usefixtures("nothing_stored")
def test_a_store_that_is_away_is_503(signed_in: TestClient, media: Path) -> None:
    media.rename(media.with_name("gone"))
    answer = upload(signed_in)
    media.with_name("gone").rename(media)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0


def test_a_broker_that_is_away_keeps_nothing_from_being_accepted(
    signed_in: TestClient, application: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = Settings.model_validate({"REDIS_URL": "redis://127.0.0.1:1/0"})
    monkeypatch.setattr(messages, "settings", nowhere)
    assert upload(signed_in).status_code == 200
    assert rows(application) == (1, 1)
