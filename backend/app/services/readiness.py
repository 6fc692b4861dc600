"""Whether this process can serve: its database answers with a schema that this release works on, and so does Redis.

Each part is asked on a connection of its own, with a deadline of its own, in a thread of its own, never twice at once
and at most once a second: whoever asks us, and whatever hangs, requests keep their threads and connections.
"""

from __future__ import annotations

import asyncio
import re
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg2
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from app.db import deadline
from app.db.connect import parse_url

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.core.config import Settings

OK = "ok"
DEADLINE_SECONDS = 2.0
_FRESH_SECONDS = 1.0
_PATIENCE_SECONDS = DEADLINE_SECONDS + 0.2
_TOO_LATE = f"no answer within {DEADLINE_SECONDS:g} s"
_UNDEFINED_TABLE = "42P01"  # PostgreSQL manual, appendix A
_QUESTION = (
    "SELECT (SELECT oldest_release FROM public.schema_release),"
    " to_regclass('public.media_file') IS NOT NULL AND to_regclass('public.user') IS NOT NULL"
)


class Readiness:
    """The answers about one process, by name; each is `OK` or a reason without addresses and secrets."""

    def __init__(self, settings: Settings) -> None:
        self._parts = {
            "database": _Part(lambda: database(settings)),
            "redis": _Part(lambda: redis(settings)),
        }

    async def answers(self) -> dict[str, str]:
        """What is known now, after about `DEADLINE_SECONDS` at the latest."""
        found = await asyncio.gather(*(part.answer() for part in self._parts.values()))
        return dict(zip(self._parts, found, strict=True))


class _Part:
    """One check, with its last answer or the one that is being waited for."""

    def __init__(self, check: Callable[[], str]) -> None:
        self._check = check
        self._thread = ThreadPoolExecutor(1, "readiness")
        self._asked: Future[str] | None = None
        self._stale_at = 0.0

    async def answer(self) -> str:
        if self._asked is None or (self._asked.done() and time.monotonic() >= self._stale_at):
            self._stale_at = time.monotonic() + _FRESH_SECONDS
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
    """Whether the broker answers."""
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
