"""The application on real servers, and people who use it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from app.core.config import Settings
from app.core.security import get_password_hash
from app.main import create_app
from app.models import User

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Engine

    from tests.redis_server import RedisServer

PASSWORD = "correct horse"  # noqa: S105 - of a test's own user


@pytest.fixture
def settings_with(application: Engine, broker: RedisServer, tmp_path: Path) -> Callable[..., Settings]:
    """A function: settings for the real servers, but for what it is given."""
    (tmp_path / "key").write_text("k" * 32)
    servers: dict[str, object] = {
        "DATABASE_URL": application.url.render_as_string(hide_password=False),
        "REDIS_URL": broker.url,
        "JWT_SECRET_FILE": tmp_path / "key",
    }
    return lambda **others: Settings.model_validate(servers | others)


@pytest.fixture
def client(settings_with: Callable[..., Settings]) -> Iterator[TestClient]:
    """Somebody who calls the API, which runs as in production."""
    with TestClient(create_app(settings_with())) as client:
        yield client


@pytest.fixture
def user(application: Engine) -> User:
    """A user with the password `PASSWORD`."""
    with Session(application, expire_on_commit=False) as session:
        found = User(email="ann@example.org", full_name="Ann", hashed_password=get_password_hash(PASSWORD))
        session.add(found)
        session.commit()
    return found


@pytest.fixture
def signed_in(client: TestClient, user: User) -> TestClient:
    """The client, with that user's token."""
    answer = client.post("/api/auth/token", data={"username": user.email, "password": PASSWORD})
    client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    return client
