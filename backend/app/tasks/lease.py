"""Keeps a claim alive while its work is done."""

from __future__ import annotations

import contextvars
import threading
import time
from typing import TYPE_CHECKING, Self

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.core.config import settings
from app.services import work

if TYPE_CHECKING:
    from types import TracebackType

PROGRESS_SECONDS = 1.0
"""How often progress is stored, at most."""

_log = structlog.stdlib.get_logger("app.tasks")


class Lease:
    """Within it a thread renews the claim's lease, and stores the progress; while the database is away it goes on."""

    def __init__(self, claim: work.Claim) -> None:
        self._claim = claim
        self._progress: float | None = None
        self._over = threading.Event()
        self._lost = threading.Event()
        context = contextvars.copy_context()  # its log lines carry the task's id
        self._thread = threading.Thread(target=context.run, args=(self._keep,), name="lease", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def report(self, progress: float) -> None:
        """Takes down how far the work is, from 0 to 1. Raises `LeaseLost` once the task is cancelled or taken over."""
        self._progress = progress
        if self._lost.is_set():
            raise work.LeaseLost(self._claim.task_id)

    def wait(self, seconds: float) -> None:
        """Waits, with the lease renewed. Raises `LeaseLost` as soon as it is lost."""
        if self._lost.wait(seconds):
            raise work.LeaseLost(self._claim.task_id)

    def _keep(self) -> None:
        interval = settings.LEASE_SECONDS / 4
        stored, due = None, time.monotonic() + interval
        while not self._over.wait(min(PROGRESS_SECONDS, interval)):
            progress = self._progress
            if progress == stored and time.monotonic() < due:
                continue
            try:
                if not work.renew(self._claim, progress):
                    self._lost.set()
                    return
            except SQLAlchemyError as error:
                _log.warning("lease not renewed; tried again", reason=type(error).__name__)
            else:
                stored, due = progress, time.monotonic() + interval
