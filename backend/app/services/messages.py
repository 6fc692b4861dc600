"""Messages to the workers: each names a task whose row says what is to be done. One that is lost is sent again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from kombu.exceptions import KombuError
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from app.core.celery import celery_app
from app.core.config import settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu import Connection

TASK_NAME = "transcription.run"
_TRIES = 2
_TIMEOUTS = {"socket_connect_timeout": 1.0, "socket_timeout": 1.0}
_AWAY = (OSError, RedisError, KombuError)
_log = structlog.stdlib.get_logger("app.messages")


def send(task_ids: Sequence[str]) -> bool:
    """Tells the workers of tasks, after the transaction that made them is committed; takes two seconds at most.

    The request's id goes with the messages, into the log of the worker. Where the broker is away, that is logged and
    False is returned: the sweeper sends them later. It blocks, so an `async` endpoint calls it in a thread.
    """
    headers = {"request_id": structlog.contextvars.get_contextvars().get("request_id")}
    reason = ""
    for _ in range(_TRIES):
        try:
            waiting()  # where nobody answers this says so in a second; Kombu takes four, because it tries again
            with _connection() as connection:
                for task_id in task_ids:
                    celery_app.send_task(
                        TASK_NAME, [task_id], task_id=task_id, headers=headers, connection=connection, retry=False
                    )
        except _AWAY as error:
            reason = type(error).__name__
        else:
            return True
    _log.warning("messages not sent; the sweeper does so later", tasks=len(task_ids), reason=reason)
    return False


def waiting() -> int:
    """How many messages wait for a worker. Raises `RedisError` where the broker is away."""
    client = Redis.from_url(settings.REDIS_URL, **_TIMEOUTS, retry=Retry(NoBackoff(), 0))
    try:
        # With Redis a queue is a list of its name. Source: kombu.transport.redis.
        return int(client.llen(celery_app.conf.task_default_queue))
    finally:
        client.close()


def _connection() -> Connection:
    """One of its own: short-lived, and never in the hands of two threads or a forked child."""
    return celery_app.connection_for_write(transport_options=_TIMEOUTS)
