from __future__ import annotations

import time
from typing import TYPE_CHECKING

import bcrypt
import jwt
import pytest
from sqlalchemy.orm import Session

from app.models import User
from tests.api.conftest import PASSWORD

if TYPE_CHECKING:
    from fastapi.testclient import TestClient
    from sqlalchemy import Engine

KEY = "k" * 32


def log_in(client: TestClient, email: str, password: str, path: str = "/api/auth/token") -> tuple[int, object]:
    answer = client.post(path, data={"username": email, "password": password})
    return answer.status_code, answer.json()


def change(application: Engine, user: User, **columns: object) -> None:
    with Session(application) as session:
        session.query(User).filter(User.id == user.id).update(columns)  # type: ignore[arg-type]
        session.commit()


def kept_hash(application: Engine, user: User) -> str:
    with Session(application) as session:
        return session.get_one(User, user.id).hashed_password


@pytest.mark.parametrize("path", ["/api/auth/token", "/api/auth/token/", "/api/auth/login", "/api/auth/login/"])
def test_a_login_answers_a_token_for_the_users_id(client: TestClient, user: User, path: str) -> None:
    status, body = log_in(client, user.email, PASSWORD, path)
    assert status == 200
    assert isinstance(body, dict)
    assert body.keys() == {"access_token", "token_type"}
    assert body["token_type"] == "bearer"  # noqa: S105
    content = jwt.decode(body["access_token"], KEY, algorithms=["HS256"])
    assert content["sub"] == str(user.id)
    assert 0 < content["exp"] - time.time() <= 24 * 3600


def test_refusals_are_the_same_whatever_is_wrong(client: TestClient, user: User, application: Engine) -> None:
    refusal = 401, {"detail": "Incorrect email or password"}
    assert log_in(client, user.email, "wrong") == refusal
    assert log_in(client, "nobody@example.org", PASSWORD) == refusal
    assert log_in(client, "a\0b", PASSWORD) == refusal
    change(application, user, is_active=False)
    assert log_in(client, user.email, PASSWORD) == refusal


def test_a_token_of_a_user_who_is_gone_or_switched_off_is_401(
    signed_in: TestClient, user: User, application: Engine
) -> None:
    assert signed_in.get("/api/files").status_code == 200
    change(application, user, is_active=False)
    assert signed_in.get("/api/files").status_code == 401
    with Session(application) as session:
        session.query(User).filter(User.id == user.id).delete()
        session.commit()
    assert signed_in.get("/api/files").status_code == 401


@pytest.mark.parametrize(
    ("content", "key", "algorithm"),
    [
        ({"sub": "1", "exp": 1}, KEY, "HS256"),
        ({"sub": "1"}, KEY, "HS256"),
        ({"exp": 1 << 33}, KEY, "HS256"),
        ({"sub": "1", "exp": 1 << 33}, "x" * 32, "HS256"),
        ({"sub": "1", "exp": 1 << 33}, None, "none"),
        ({"sub": "1", "exp": 1 << 33}, KEY * 2, "HS512"),
        ({"sub": "ann", "exp": 1 << 33}, KEY, "HS256"),
        ({"sub": "²", "exp": 1 << 33}, KEY, "HS256"),
        ({"sub": "99999999999", "exp": 1 << 33}, KEY, "HS256"),
    ],
)
def test_a_token_that_is_not_ours_is_401(
    client: TestClient, user: User, content: dict[str, object], key: str | None, algorithm: str
) -> None:
    assert user.id == 1
    token = jwt.encode(content, key, algorithm=algorithm)  # type: ignore[arg-type]
    assert client.get("/api/files", headers={"Authorization": f"Bearer {token}"}).status_code == 401


def test_an_old_hash_is_replaced_at_login_and_only_then(client: TestClient, user: User, application: Engine) -> None:
    old = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    change(application, user, hashed_password=old)
    assert log_in(client, user.email, "wrong")[0] == 401
    assert kept_hash(application, user) == old
    assert log_in(client, user.email, PASSWORD)[0] == 200
    new = kept_hash(application, user)
    assert new.startswith("$argon2id$")
    assert log_in(client, user.email, PASSWORD)[0] == 200
    assert kept_hash(application, user) == new
