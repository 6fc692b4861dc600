"""The life of a worker: it looks for stranded work while it runs, and gives back in time what it can't finish."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import threading

import billiard
import structlog
from celery import signals
from sqlalchemy.exc import SQLAlchemyError

from app.core.config import settings
from app.services import work
from app.tasks.sweeper import Sweeper

NAME = f"{socket.gethostname()}-{secrets.token_hex(4)}"
"""This worker's, also in its child processes. One that starts later on the same machine has another."""

_log = structlog.stdlib.get_logger("app.worker")


@signals.worker_ready.connect
def _sweep(**_: object) -> None:
    Sweeper().start()


@signals.worker_shutting_down.connect
def _stop_in_time(how: str, **_: object) -> None:
    """After a SIGTERM tasks may go on for a while; then they are ended, and their messages are back in the queue.

    What Docker kills instead would lie there until the visibility timeout. Celery's own soft shutdown isn't used: it
    takes all of its time where nothing is left to do, and then waits for a task that is inside of a library.
    """
    if how == "Warm":
        limit = threading.Timer(settings.WORKER_STOP_SECONDS, _give_back)
        limit.daemon = True
        limit.start()


def _give_back() -> None:
    """The leases first: a task that is just ending does so before, or finds its lease gone and leaves nothing."""
    try:
        _log.info("tasks given back", tasks=work.give_back_all(NAME))
    except SQLAlchemyError as error:
        _log.warning("tasks not given back; their leases run out", reason=type(error).__name__)
    os.kill(os.getpid(), signal.SIGQUIT)
    for process in billiard.active_children():
        if process.pid is not None:
            os.kill(process.pid, signal.SIGKILL)
