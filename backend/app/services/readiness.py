"""Whether this process can serve: the database has a schema that it can work on; Redis, broker, media store answer.

Each part is asked on a connection of its own, with a deadline of its own, in a thread of its own, never twice at once
and at most once a second: whoever asks us, and whatever hangs, requests keep their threads and connections.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg2
from kombu import Connection
from kombu.exceptions import KombuError
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from app.db import deadline
from app.db.connect import parse_url
from app.storage.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.core.config import Settings
    from app.storage.media_store import MediaStore

OK = "ok"
DEADLINE_SECONDS = 2.0
_FRESH_SECONDS = 1.0
_STORE_FRESH_SECONDS = 10.0
"""A store elsewhere takes money for each file that is written."""
_PATIENCE_SECONDS = DEADLINE_SECONDS + 0.2
_TOO_LATE = f"no answer within {DEADLINE_SECONDS:g} s"
_UNDEFINED_TABLE = "42P01"  # PostgreSQL manual, appendix A
_QUEUE = "celery"
_QUESTION = (
    "SELECT (SELECT oldest_release FROM public.schema_release),"
    " to_regclass('public.media_file') IS NOT NULL AND to_regclass('public.user') IS NOT NULL"
)


class Readiness:
    """The answers about one process, by name; each is `OK` or a reason without addresses and secrets."""

    def __init__(self, settings: Settings, store: MediaStore) -> None:
        self._parts = {
            "database": _Part(lambda: database(settings)),
            "redis": _Part(lambda: redis(settings)),
            "broker": _Part(lambda: broker(settings)),
            "media": _Part(lambda: media(store), _STORE_FRESH_SECONDS),
        }

    async def answers(self) -> dict[str, str]:
        """What is known now, after about `DEADLINE_SECONDS` at the latest."""
        found = await asyncio.gather(*(part.answer() for part in self._parts.values()))
        return dict(zip(self._parts, found, strict=True))


class _Part:
    """One check, with its last answer or the one that is being waited for."""

    def __init__(self, check: Callable[[], str], fresh_seconds: float = _FRESH_SECONDS) -> None:
        self._check = check
        self._fresh_seconds = fresh_seconds
        self._thread = ThreadPoolExecutor(1, "readiness")
        self._asked: Future[str] | None = None
        self._stale_at = 0.0

    async def answer(self) -> str:
        if self._asked is None or (self._asked.done() and time.monotonic() >= self._stale_at):
            self._stale_at = time.monotonic() + self._fresh_seconds
            self._asked = self._thread.submit(self._check)
        done, _ = await asyncio.wait([asyncio.wrap_future(self._asked)], timeout=_PATIENCE_SECONDS)
        return done.pop().result() if done else _TOO_LATE


def database(settings: Settings) -> str:
    """Whether the application's database answers and has tables that this release works on."""
    url = parse_url(settings.DATABASE_URL)
    try:
        oldest, has_tables = deadline.ask(url, _QUESTION, DEADLINE_SECONDS, settings.APPLICATION_NAME)
    except TimeoutError:
        return _TOO_LATE
    except psycopg2.Error as error:
        return "it has no tables, or none of a release like this" if error.pgcode == _UNDEFINED_TABLE else "unreachable"
    if oldest is None or not has_tables:
        return "its tables are incomplete"
    if _release(oldest) > _release(settings.VERSION):
        return f"its schema asks for release {oldest} or newer"
    return OK


def _release(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", text))


def redis(settings: Settings) -> str:
    """Whether Redis answers."""
    client = Redis.from_url(
        settings.REDIS_URL,
        socket_connect_timeout=DEADLINE_SECONDS,
        socket_timeout=DEADLINE_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        client.ping()
    except RedisTimeoutError:
        return _TOO_LATE
    except AuthenticationError:
        return "it refuses the password"
    except RedisError:
        return "unreachable"
    finally:
        client.close()
    return OK


def broker(settings: Settings) -> str:
    """Whether messages to the workers can be sent: the broker lets us at its queues."""
    limits = {"socket_connect_timeout": DEADLINE_SECONDS, "socket_timeout": DEADLINE_SECONDS}
    try:
        with Connection(settings.REDIS_URL, transport_options=limits) as connection:
            connection.ensure_connection(
                max_retries=1, interval_start=0, interval_step=0, timeout=math.ceil(DEADLINE_SECONDS)
            )
            channel: Any = connection.default_channel
            channel.client.llen(_QUEUE)  # with Redis a queue is a list of its name. Source: kombu.transport.redis
    except (OSError, RedisError, KombuError) as error:
        too_late = isinstance(error.__cause__ or error, RedisTimeoutError)
        return _TOO_LATE if too_late else "it takes no messages"
    return OK


def media(store: MediaStore) -> str:
    """Whether recordings can be written and read."""
    try:
        store.check()
    except StoreUnavailable as error:
        return error.reason
    return OK
