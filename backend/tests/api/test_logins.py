"""How many logins are refused, as Redis counts them."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from fastapi.testclient import TestClient

from app.core.config import Settings
from app.main import create_app
from app.services.logins import LoginLimit
from tests.api.conftest import PASSWORD

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from app.models import User
    from tests.redis_server import RedisServer


def attempts(client: TestClient, email: str, password: str, count: int) -> list[int]:
    words = {"username": email, "password": password}
    return [client.post("/api/auth/token", data=words).status_code for _ in range(count)]


def test_after_some_refusals_the_next_attempt_has_to_wait(
    settings_with: Callable[..., Settings], user: User, broker: RedisServer
) -> None:
    client = TestClient(create_app(settings_with(LOGIN_ATTEMPTS_PER_MINUTE=3)))
    assert attempts(client, user.email, "wrong", 4) == [401, 401, 401, 429]
    answer = client.post("/api/auth/login/", data={"username": user.email, "password": PASSWORD})
    assert answer.status_code == 429
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    assert answer.json()["detail"]
    elsewhere = TestClient(client.app, client=("192.0.2.7", 1))
    assert attempts(elsewhere, user.email, PASSWORD, 1) == [200]
    assert attempts(client, "nobody@example.org", "wrong", 4) == [401, 401, 401, 429]
    assert not [key for key in broker.client().scan_iter() if user.email.encode() in key]


def test_a_login_that_succeeds_forgets_the_refusals_before(settings_with: Callable[..., Settings], user: User) -> None:
    client = TestClient(create_app(settings_with(LOGIN_ATTEMPTS_PER_MINUTE=3)))
    assert attempts(client, user.email, PASSWORD, 5) == [200] * 5
    assert attempts(client, user.email, "wrong", 2) == [401] * 2
    assert attempts(client, user.email, PASSWORD, 1) == [200]
    assert attempts(client, user.email, "wrong", 4) == [401, 401, 401, 429]


def test_odd_addresses_are_counted_as_well(settings_with: Callable[..., Settings]) -> None:
    client = TestClient(create_app(settings_with(LOGIN_ATTEMPTS_PER_MINUTE=1)))
    assert attempts(client, "", "wrong", 2) == [422, 422]
    for email in ("a\0b", "é" * 10_000, "\r\n", "💥"):
        assert attempts(client, email, "wrong", 2) == [401, 429]


def test_while_redis_is_away_everybody_may_log_in(
    settings_with: Callable[..., Settings],
    user: User,
    own_broker: RedisServer,
    capsys: pytest.CaptureFixture[str],
) -> None:
    client = TestClient(create_app(settings_with(REDIS_URL=own_broker.url, LOGIN_ATTEMPTS_PER_MINUTE=1)))
    own_broker.stop()
    assert attempts(client, user.email, "wrong", 2) == [401, 401]
    assert attempts(client, user.email, PASSWORD, 1) == [200]
    events = {json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()}
    assert "refused logins are not counted: Redis is away" in events
    own_broker.start()
    assert attempts(client, user.email, "wrong", 2) == [401, 429]


def test_the_time_to_wait_is_what_is_left_of_the_minute(broker: RedisServer) -> None:
    broker.client().flushdb()
    limit = LoginLimit(Settings(REDIS_URL=broker.url, LOGIN_ATTEMPTS_PER_MINUTE=1))
    assert limit.seconds_to_wait("::1", "a") == 0
    seconds = limit.seconds_to_wait("::1", "A")
    assert 58 <= seconds <= math.ceil(60)
    assert limit.seconds_to_wait("::1", "b") == 0
