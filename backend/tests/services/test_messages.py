"""Messages reach the broker, or the caller is told soon that they don't."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import pytest
from redis.exceptions import RedisError

from app.core.celery import celery_app
from app.core.config import Settings
from app.db import scratch
from app.services import messages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.redis_server import RedisServer


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A function: from now on this is the broker."""

    def at(url: str) -> None:
        monkeypatch.setattr(celery_app.conf, "broker_write_url", url)
        monkeypatch.setattr(messages, "settings", Settings(REDIS_URL=url))

    return at


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of somebody who takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


def test_what_is_sent_waits_for_a_worker(own_broker: RedisServer, use: Callable[[str], None]) -> None:
    use(own_broker.url)
    assert messages.waiting() == 0
    assert messages.send(["one", "two"])
    assert messages.waiting() == 2


def test_a_broker_that_lost_everything_takes_messages_again(
    own_broker: RedisServer, use: Callable[[str], None]
) -> None:
    use(own_broker.url)
    messages.send(["one"])
    own_broker.client().flushall()
    assert messages.send(["two"])
    assert messages.waiting() == 1


def test_a_broker_that_is_away_or_refuses_is_no_error(
    own_broker: RedisServer, use: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    nobody = f"redis://127.0.0.1:{scratch.free_port()}/0"
    for url in (nobody, own_broker.url.replace(own_broker.password, "wrong")):
        use(url)
        assert not messages.send(["one"])
        assert "messages not sent" in caplog.text
        caplog.clear()
        with pytest.raises(RedisError):
            messages.waiting()


def test_nobody_waits_long_for_a_broker_that_hangs_or_refuses(silent: str, use: Callable[[str], None]) -> None:
    for url, seconds in ((silent, 4), (f"redis://127.0.0.1:{scratch.free_port()}/0", 1)):
        use(url)
        began = time.monotonic()
        assert not messages.send([str(number) for number in range(100)])
        assert time.monotonic() - began < seconds
