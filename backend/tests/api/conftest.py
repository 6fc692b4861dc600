"""The application on real servers, and people who use it."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from app.core.celery import celery_app
from app.core.config import Settings
from app.core.security import get_password_hash, make_token
from app.main import create_app
from app.models import User
from app.services import messages
from tests.recordings import add_file, add_user

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Engine

    from tests.redis_server import RedisServer

PASSWORD = "correct horse"  # noqa: S105 - of a test's own user


@pytest.fixture
def settings_with(
    application: Engine, broker: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Settings]:
    """A function: settings for the real servers, but for what it is given."""
    (tmp_path / "key").write_text("k" * 32)
    (tmp_path / "media").mkdir(exist_ok=True)
    broker.client().flushdb()  # refused logins of the tests before
    monkeypatch.setattr(celery_app.conf, "broker_write_url", broker.url)
    monkeypatch.setattr(messages, "settings", Settings.model_validate({"REDIS_URL": broker.url}))
    servers: dict[str, object] = {
        "DATABASE_URL": application.url.render_as_string(hide_password=False),
        "REDIS_URL": broker.url,
        "JWT_SECRET_FILE": tmp_path / "key",
        "MEDIA_ROOT": tmp_path / "media",
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


@pytest.fixture
def calling(client: TestClient) -> Callable[[User], TestClient]:
    """A function: the same API, called by that user."""

    def client_of(user: User) -> TestClient:
        token = make_token(user.id, "k" * 32, timedelta(minutes=5))
        return TestClient(client.app, headers={"Authorization": f"Bearer {token}"})

    return client_of


@dataclass
class Person:
    """A user, and the API as that one calls it."""

    user: User
    api: TestClient

    @property
    def id(self) -> int:
        return self.user.id


@pytest.fixture
def person(application: Engine, calling: Callable[[User], TestClient]) -> Callable[..., Person]:
    """A function: a new user with these columns."""

    def make(**columns: object) -> Person:
        with Session(application, expire_on_commit=False) as session:
            user = add_user(session)
            for name, value in columns.items():
                setattr(user, name, value)
            session.commit()
            session.refresh(user)
        return Person(user, calling(user))

    return make


@pytest.fixture
def ann(person: Callable[..., Person]) -> Person:
    """Somebody with recordings."""
    return person(full_name="Ann")


@pytest.fixture
def ben(person: Callable[..., Person]) -> Person:
    """Somebody else, who may see none of them."""
    return person(full_name="Ben")


@pytest.fixture
def boss(person: Callable[..., Person]) -> Person:
    """The administrator."""
    return person(full_name="Boss", is_superuser=True)


@pytest.fixture
def rows(application: Engine) -> Iterator[Session]:
    """A session beside the API's, to make rows and look at them."""
    with Session(application) as session:
        yield session


@pytest.fixture
def new_file(rows: Session) -> Callable[..., int]:
    """A function: the id of a new recording of that person, with these columns, committed."""

    def make(owner: Person, **columns: object) -> int:
        file_id = add_file(rows, owner.user, **columns).id
        rows.commit()
        return file_id

    return make


@contextlib.contextmanager
def at_once(application: Engine, rows: Session, *calls: Callable[[], object]) -> Iterator[list[int]]:
    """Answers' statuses of calls that all wait for a lock which the block has taken; they go on when that ends.

    Inside the block, the caller locks with `rows`; leaving it starts the calls, and commits once all of them wait.
    """
    statuses: list[int] = []
    threads = [threading.Thread(target=lambda call=call: statuses.append(call().status_code)) for call in calls]
    yield statuses
    for thread in threads:
        thread.start()
    with application.connect() as watcher:
        while watcher.exec_driver_sql("SELECT count(*) FROM pg_locks WHERE NOT granted").scalar_one() < len(calls):
            pass
    rows.commit()
    for thread in threads:
        thread.join(30)
    statuses.sort()
