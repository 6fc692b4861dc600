"""The thread in each worker's main process that finds stranded work, and sends lost messages again."""

from __future__ import annotations

import threading
import time

import structlog
from redis.exceptions import RedisError
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from app.core.config import settings
from app.db.session_utils import session_scope
from app.services import messages, sweeping
from app.storage.errors import StoreError
from app.storage.stores import media_store

_TIDY_SECONDS = 3600
_log = structlog.stdlib.get_logger("app.sweeper")


class Sweeper(threading.Thread):
    """Sweeps every `SWEEP_SECONDS` until the process ends; whatever goes wrong is logged, and tried again."""

    def __init__(self) -> None:
        super().__init__(name="sweeper", daemon=True)
        self._database_was_away = False
        self._tidied_at: float | None = None

    def run(self) -> None:
        """Begins at once: the worker may be the first one after an outage."""
        pause = threading.Event()
        while True:
            try:
                self.sweep()
                self._tidy()
            except OperationalError as error:
                _log.warning("not swept, the database is away; tried again", reason=type(error.orig).__name__)
            except Exception:  # noqa: BLE001 - a sweeper that ends would be missed by nobody
                _log.exception("not swept; tried again", seconds=settings.SWEEP_SECONDS)
            pause.wait(settings.SWEEP_SECONDS)

    def sweep(self) -> None:
        """One round. In the first one after the database was away, who still works renews its lease before we look."""
        was_away, self._database_was_away = self._database_was_away, True
        with session_scope() as session:
            if was_away:
                session.execute(select(1))
                swept = None
            else:
                swept = sweeping.sweep(session, _queued())
        self._database_was_away = False
        if swept is None:
            return
        if swept.unsent:
            messages.send(swept.unsent)
        if swept.stranded or swept.failed or swept.unsent:
            counts = {name: len(ids) for name, ids in vars(swept).items()}
            _log.warning("swept", **counts, failed_tasks=swept.failed)

    def _tidy(self) -> None:
        if self._tidied_at is not None and time.monotonic() < self._tidied_at + _TIDY_SECONDS:
            return
        self._tidied_at = time.monotonic()
        try:
            removed = media_store(settings).tidy()
        except StoreError as error:
            _log.warning("media store not tidied", reason=error.what)
        else:
            _log.info("media store tidied", removed=removed)


def _queued() -> int | None:
    try:
        return messages.waiting()
    except RedisError as error:
        _log.warning("the broker doesn't answer", reason=type(error).__name__)
        return None
