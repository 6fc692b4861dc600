from __future__ import annotations

from typing import TYPE_CHECKING

import jwt
import pytest
from sqlalchemy import func, select

from app.core.config import settings
from app.models import Comment, FileTag, MediaFile, Speaker, Tag, Task, TaskStatus, TranscriptSegment, User
from app.services import users
from tests.api.conftest import PASSWORD, at_once

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fastapi.testclient import TestClient
    from sqlalchemy import Engine
    from sqlalchemy.orm import Session

    from tests.api.conftest import Person

pytestmark = pytest.mark.parametrize("application", ["pooled"], indirect=True)  # as in production

SHOWN = {"id", "email", "full_name", "role", "is_active", "is_superuser", "created_at", "updated_at"}
NEW = {"email": "zoë@example.org", "full_name": "Zoë", "password": PASSWORD}


def log_in(client: TestClient, email: str, password: str = PASSWORD) -> int:
    return client.post("/api/auth/token", data={"username": email, "password": password}).status_code


def test_who_registers_is_shown_without_the_password_and_may_log_in(client: TestClient) -> None:
    answer = client.post("/api/auth/register", json=NEW | {"is_superuser": True, "role": "admin", "id": 77})
    assert answer.status_code == 200
    shown = answer.json()
    assert shown.keys() == SHOWN
    assert (shown["email"], shown["is_superuser"], shown["role"], shown["is_active"]) == (
        NEW["email"],
        False,
        "user",
        True,
    )
    token = client.post("/api/auth/token", data={"username": NEW["email"], "password": PASSWORD}).json()["access_token"]
    me = client.get("/api/auth/me", headers={"Authorization": f"Bearer {token}"})
    assert me.json() == shown
    claims = jwt.decode(token, "k" * 32, algorithms=["HS256"])
    assert claims["exp"] - claims["iat"] == settings.ACCESS_TOKEN_MINUTES * 60 == 3600


WRONG: list[dict[str, object]] = [
    {"password": "1234567"},
    {"password": "x" * 1025},
    {"email": "nobody"},
    {"email": "a b@c"},
    {"email": "a\0@b"},
    {"email": "x" * 250 + "@example.org"},
    {"full_name": "a\0b"},
    {"full_name": None},
    {"full_name": 1},
]


def test_what_can_not_be_a_user_is_422(client: TestClient) -> None:
    for wrong in WRONG:
        assert (wrong, client.post("/api/auth/register", json=NEW | wrong).status_code) == (wrong, 422)


def test_an_address_is_taken_exactly_as_it_is_written(client: TestClient) -> None:
    assert client.post("/api/auth/register", json=NEW).status_code == 200
    again = client.post("/api/auth/register", json=NEW)
    assert (again.status_code, again.json()) == (409, {"detail": f"the address {NEW['email']} belongs to another user"})
    assert log_in(client, "Zoë@example.org") == 401
    assert client.post("/api/auth/register", json=NEW | {"email": "Zoë@example.org"}).status_code == 200


def test_users_change_themselves_but_not_their_rights(ann: Person, client: TestClient) -> None:
    changes = {
        "full_name": "Änn",
        "password": "another horse",
        "is_superuser": True,
        "role": "admin",
        "is_active": False,
    }
    answer = ann.api.put("/api/users/me", json=changes)
    assert answer.status_code == 200
    shown = answer.json()
    assert (shown["full_name"], shown["is_superuser"], shown["role"], shown["is_active"]) == (
        "Änn",
        False,
        "user",
        True,
    )
    assert ann.api.get("/api/users/me").json() == shown
    assert log_in(client, ann.user.email, "another horse") == 200
    assert ann.api.put("/api/users/me", json={}).json()["full_name"] == "Änn"
    assert ann.api.put("/api/users/me", json={"full_name": None}).status_code == 422


def test_nobody_takes_anothers_address(ann: Person, ben: Person) -> None:
    answer = ann.api.put("/api/users/me", json={"email": ben.user.email, "full_name": "Ben"})
    assert answer.status_code == 409
    assert ann.api.get("/api/users/me").json()["full_name"] == "Ann"


def test_administrators_see_and_change_everybody(boss: Person, ann: Person) -> None:
    listed = boss.api.get("/api/users").json()
    assert [user["id"] for user in listed] == sorted([boss.id, ann.id])
    assert all(user.keys() == SHOWN for user in listed)
    assert boss.api.get("/api/admin/users").json() == listed
    assert boss.api.get("/api/users", params={"limit": 1}).headers["X-Next-Cursor"]
    assert boss.api.get(f"/api/users/{ann.id}").json()["full_name"] == "Ann"
    assert boss.api.get("/api/users/99999").status_code == 404
    assert boss.api.put("/api/users/99999", json={}).status_code == 404
    answer = boss.api.put(f"/api/users/{ann.id}", json={"is_active": False})
    assert answer.json()["is_active"] is False
    assert ann.api.get("/api/users/me").status_code == 401


def test_either_column_makes_an_administrator(person: Callable[..., Person]) -> None:
    for right in ({"is_superuser": True}, {"role": "admin"}):
        assert person(**right).api.get("/api/users").status_code == 200


def test_an_administrator_makes_users_with_rights(boss: Person, client: TestClient) -> None:
    answer = boss.api.post("/api/admin/users", json=NEW | {"role": "admin", "is_superuser": True})
    assert answer.status_code == 200
    assert answer.json()["is_superuser"] is True
    assert log_in(client, NEW["email"]) == 200
    assert boss.api.post("/api/admin/users", json=NEW).status_code == 409


def test_the_last_administrator_stays_one(boss: Person, ann: Person, person: Callable[..., Person]) -> None:
    person(is_superuser=True, is_active=False)  # who can't log in doesn't count
    for changes in ({"is_superuser": False}, {"is_active": False}):
        answer = boss.api.put(f"/api/users/{boss.id}", json=changes)
        assert (answer.status_code, answer.json()["detail"]) == (409, f"user {boss.id} is the last administrator")
    assert boss.api.put(f"/api/users/{boss.id}", json={"role": "admin", "is_superuser": False}).status_code == 200
    assert boss.api.put(f"/api/users/{ann.id}", json={"is_superuser": True}).status_code == 200
    assert boss.api.put(f"/api/users/{boss.id}", json={"role": "user"}).status_code == 200
    assert boss.api.get("/api/users").status_code == 403


def test_of_two_administrators_who_delete_each_other_one_stays(
    boss: Person, person: Callable[..., Person], rows: Session, application: Engine
) -> None:
    other = person(is_superuser=True)
    pairs = ((boss, other), (other, boss))
    calls = [lambda by=by, whom=whom: by.api.delete(f"/api/users/{whom.id}") for by, whom in pairs]
    with at_once(application, rows, *calls) as statuses:
        rows.scalars(select(User).with_for_update()).all()
    assert statuses == [204, 409]
    assert rows.scalar(select(func.count()).where(User.is_admin)) == 1


@pytest.fixture
def everything(ann: Person, ben: Person, rows: Session, new_file: Callable[..., int], tmp_path: Path) -> list[Path]:
    """The bytes of Ann's two files, which have all that a file can have, and of one of Ben's."""
    paths = []
    for owner, name in ((ann, "a.mp3"), (ann, "b.mp3"), (ben, "c.mp3")):
        key = f"user_{owner.id}/file_{name[0]}/{name}"
        file_id = new_file(owner, filename=name, storage_path=key)
        voice = Speaker(user_id=owner.id, name="Voice")
        rows.add(voice)
        rows.flush()
        rows.add_all(
            [
                TranscriptSegment(media_file_id=file_id, speaker_id=voice.id, start_time=0, end_time=1, text="x"),
                Comment(media_file_id=file_id, user_id=ann.id, text="Ann's"),
                Comment(media_file_id=file_id, user_id=ben.id, text="Ben's"),
                Task(
                    id=name,
                    user_id=owner.id,
                    media_file_id=file_id,
                    task_type="transcription",
                    status=TaskStatus.PENDING,
                ),
                FileTag(media_file_id=file_id, tag_id=rows.scalars(select(Tag.id)).first()),
            ]
        )
        rows.commit()
        paths.append(tmp_path / "media" / key)
        paths[-1].parent.mkdir(parents=True)
        paths[-1].write_bytes(b"x")
    return paths


@pytest.mark.parametrize("path", ["/api/users/{}", "/api/admin/users/{}"])
def test_a_deleted_user_takes_along_what_is_theirs_and_nothing_else(  # noqa: PLR0913, PLR0917 - all of them matter
    boss: Person, ann: Person, ben: Person, everything: list[Path], rows: Session, path: str
) -> None:
    answer = boss.api.delete(path.format(ann.id))
    if "admin" in path:
        assert (answer.status_code, answer.json()) == (200, {"message": "User deleted successfully"})
    else:
        assert (answer.status_code, answer.content) == (204, b"")
    assert [each.exists() for each in everything] == [False, False, True]
    assert ann.api.get("/api/users/me").status_code == 401
    assert list(rows.scalars(select(MediaFile.filename))) == ["c.mp3"]
    assert list(rows.scalars(select(Comment.user_id))) == [ben.id]
    assert list(rows.scalars(select(Speaker.user_id))) == [ben.id]
    assert list(rows.scalars(select(Task.user_id))) == [ben.id]
    assert len(rows.scalars(select(TranscriptSegment)).all()) == 1
    assert boss.api.delete(path.format(ann.id)).status_code == 404


def test_nobody_deletes_themselves(boss: Person) -> None:
    for path in ("/api/users/{}", "/api/admin/users/{}"):
        answer = boss.api.delete(path.format(boss.id))
        assert (answer.status_code, answer.json()["detail"]) == (409, "you can't delete yourself")


def test_statistics_count_users_files_and_the_system(boss: Person, everything: list[Path]) -> None:
    assert everything
    answer = boss.api.get("/api/admin/stats").json()
    assert answer.keys() == {"users", "files", "system"}
    assert answer["users"] == {"total": 3, "active": 3, "administrators": 1}
    assert answer["files"] == {
        "total": 3,
        "total_file_size": 3,
        "total_duration": 0.0,
        "by_status": {"pending": 3, "processing": 0, "completed": 0, "error": 0},
    }
    assert answer["system"]["tasks"] == {"pending": 3, "in_progress": 0, "completed": 0, "failed": 0}
    assert answer["system"]["database_size"] > 0


def test_statistics_survive_what_old_rows_may_hold(boss: Person, new_file: Callable[..., int]) -> None:
    for duration in (float("nan"), float("inf"), float("-inf"), 2.5, 1.7e308, 9e307, 9e307, None):
        new_file(boss, duration=duration, file_size=2**62)
    answer = boss.api.get("/api/admin/stats").json()
    assert answer["files"]["total_duration"] == 2.5
    assert answer["files"]["total_file_size"] == 8 * 2**62


def test_an_administrator_by_role_counts_for_the_first_start(rows: Session, person: Callable[..., Person]) -> None:
    old = person(role="admin")
    assert users.admin_email(rows) == old.user.email
