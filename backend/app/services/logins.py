"""How many logins are refused before the next one has to wait. Redis counts, for all processes."""

from __future__ import annotations

import hashlib
import math
import time
from typing import TYPE_CHECKING

import structlog
from limits import RateLimitItemPerMinute
from limits.storage import RedisStorage
from limits.strategies import MovingWindowRateLimiter
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

if TYPE_CHECKING:
    from app.core.config import Settings

_PATIENCE_SECONDS = 0.5
_log = structlog.stdlib.get_logger("app.logins")


class LoginLimit:
    """The refused logins of the last minute, by the caller's address and the email together.

    By the email alone anybody could lock its owner out; by the address alone, a whole office each other. While Redis
    is away nobody is kept from logging in: what slows guessing then is the hash.
    """

    def __init__(self, settings: Settings) -> None:
        storage = RedisStorage(
            settings.REDIS_URL,
            key_prefix="logins",
            socket_timeout=_PATIENCE_SECONDS,
            socket_connect_timeout=_PATIENCE_SECONDS,
            retry=Retry(NoBackoff(), 0),  # type: ignore[arg-type] # it hands on whatever redis takes
        )
        self._limiter = MovingWindowRateLimiter(storage)
        self._limit = RateLimitItemPerMinute(settings.LOGIN_ATTEMPTS_PER_MINUTE)

    def seconds_to_wait(self, address: str, email: str) -> int:
        """Counts an attempt; 0 where it may go on, otherwise after how many seconds the next one may."""
        key = _key(address, email)
        try:
            if self._limiter.hit(self._limit, key):
                return 0
            reset_time = self._limiter.get_window_stats(self._limit, key).reset_time
        except RedisError as error:
            _log.warning("refused logins are not counted: Redis is away", reason=type(error).__name__)
            return 0
        return max(1, math.ceil(reset_time - time.time()))

    def forget(self, address: str, email: str) -> None:
        """After a login that succeeded: the refused ones before it were the user's own."""
        try:
            self._limiter.clear(self._limit, _key(address, email))
        except RedisError as error:
            _log.warning("refused logins are not forgotten: Redis is away", reason=type(error).__name__)


def _key(address: str, email: str) -> str:
    """A digest: no email in Redis, and no key of any length or content that a caller likes."""
    return hashlib.sha256(f"{address}\n{email.casefold()}".encode("utf-8", "surrogatepass")).hexdigest()
